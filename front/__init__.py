# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the command line's front door that need all rooms at once: they found, join and run a province.

supervisor   a province's processes, or several provinces'
provinces    a province's folder, from its keys to its place in a consortium
seat         what a member has sent with its key
newlog       a member's own new log, after which the one before stays closed
cli          `moneo node init | found | founding | join | new-log | start`
demo         four provinces on one machine, founded as in real life
"""
