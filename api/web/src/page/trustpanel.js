// SPDX-License-Identifier: GPL-3.0-or-later
// Shows the trust file in use: its fingerprint to compare, whom it names, and one that may take its place.

import { text } from '../words/page.js';
import { moment, printable } from '../words/verdict.js';
import { el } from './dom.js';
import { saver } from './show.js';

/** @typedef {import('../words/verdict.js').Language} Language */
/** @typedef {Record<'compared'|'forget'|'accept'|'decline', () => void>} Actions */
/**
 * @typedef {{trust: import('./trust.js').Believed|null, offer: {changes: import('./trust.js').Change[]}|null,
 *   warning: string, offline: boolean, install: (() => void)|null}} Shown
 */

/**
 * Return all that stands below the heading of the trust file.
 * @param {Shown} shown
 * @param {Language} language
 * @param {Actions} actions
 * @returns {DocumentFragment}
 */
export function trustPanel(shown, language, actions) {
  const { trust, offer, warning, offline, install } = shown;
  const say = /** @param {string} key @param {Record<string, unknown>} [values] */ (key, values) => text(language, key, values);
  const made = document.createDocumentFragment();
  const strange = trust && trust.opened.members.some((one) => one.hosts.length)
    && !trust.opened.members.some((one) => one.hosts.includes(location.host));
  made.append(
    ...[warning && say(warning), strange && say('trust-stranger', { host: location.host })]
      .flatMap((one) => (one ? [el('p', { class: 'banner', role: 'alert' }, one)] : [])),
    ...(offer ? [offered(offer.changes, language, actions)] : []),
    ...(trust ? believedParts(trust, language, actions) : [el('p', {}, say('trust-none'))]),
    ...(offline ? [el('p', { class: 'quiet' }, say('kept-offline'))] : []),
    ...(install ? [el('p', { class: 'actions' }, press(say('install'), install))] : []),
  );
  return made;
}

/**
 * @param {import('./trust.js').Believed} trust
 * @param {Language} language
 * @param {Actions} actions
 */
function believedParts(trust, language, actions) {
  const { validators, date, members } = trust.opened;
  const forget = press(text(language, 'trust-forget'), () => {
    // What was compared once is not thrown away by a slip of the finger.
    if (forget.dataset.sure) actions.forget();
    forget.dataset.sure = 'yes';
    forget.textContent = text(language, 'trust-forget-sure');
  });
  return [
    el('p', { class: 'fingerprint' }, el('code', {}, trust.fingerprint)),
    trust.compared
      ? el('p', {}, text(language, 'trust-is-compared'))
      : el('div', { class: 'banner' }, el('p', {}, text(language, 'trust-first')),
        el('p', { class: 'actions' }, press(text(language, 'trust-compare'), actions.compared))),
    trust.kept ? null : el('p', { class: 'note' }, text(language, 'trust-unkept')),
    el('p', { class: 'quiet' }, text(language, about(validators), { validators, date: moment(date, language) })),
    el('details', {}, el('summary', {}, text(language, 'trust-members')),
      el('ul', { class: 'links' }, members.map((one) => el('li', {}, `${printable(one.name)}: `, pages(one.hosts, language)))),
      el('p', { class: 'actions' }, saver(trust.bytes, 'moneo-trust.json', text(language, 'trust-save')), forget)),
  ].filter((one) => one !== null);
}

/**
 * @param {readonly string[]} hosts
 * @param {Language} language
 */
function pages(hosts, language) {
  if (!hosts.length) return text(language, 'trust-no-pages');
  return hosts.map((host, at) => {
    const base = host === location.host ? location.origin : `https://${host}`;
    const page = URL.canParse(base) ? el('a', { href: `${base}/verify`, rel: 'noreferrer' }, printable(host)) : printable(host);
    return [at ? ', ' : '', page];
  });
}

/**
 * @param {import('./trust.js').Change[]} changes
 * @param {Language} language
 * @param {Actions} actions
 */
function offered(changes, language, actions) {
  return el('div', { class: 'banner offer', role: 'alert' },
    el('h3', {}, text(language, 'offer-title')),
    el('p', {}, text(language, 'offer-text')),
    el('ul', {}, changes.map((one) => el('li', {}, printable(text(language, `change-${one.key}`, { ...one }))))),
    el('p', { class: 'actions' }, press(text(language, 'offer-yes'), actions.accept), press(text(language, 'offer-no'), actions.decline)));
}

/**
 * @param {string} label
 * @param {() => void} action
 */
function press(label, action) {
  return el('button', { class: 'button plain', type: 'button', onclick: action }, label);
}

/** @param {number|null} validators null where the file does not name them all */
function about(validators) {
  if (validators === null) return 'trust-as-of';
  return validators === 1 ? 'trust-alone' : 'trust-about';
}
