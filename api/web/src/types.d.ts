// SPDX-License-Identifier: GPL-3.0-or-later
// What the build puts in the place of an import that is no JavaScript.

declare module '*.wasm' {
  /** The file's address under /static, its name made of its content. */
  const address: string;
  export default address;
}
