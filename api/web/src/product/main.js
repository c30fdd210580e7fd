// SPDX-License-Identifier: GPL-3.0-or-later
// A product's page proves itself: it fetches the evidence of what it shows, verifies it in the visitor's browser for
// the very code that was scanned, and says what is proven. Without this script the page stands as it is.
// The evidence is asked for first: it comes while the verifier does.

import { ask } from '../page/fetching.js';

const language = document.documentElement.lang;
// The rest of the page may not have come yet.
const own = document.querySelector('script[data-code]');
const code = own?.getAttribute('data-code') ?? '';
const waiting = own?.hasAttribute('data-waiting') ?? true;

/** @returns {import('./check.js').Asked} */
function asked() {
  const evidence = waiting ? null : ask(`/v1/evidence?code=${encodeURIComponent(code)}`, language);
  const trust = ask('/v1/trust', language);
  // Whoever waits for them is told; until then a failure is nobody's.
  for (const each of [evidence, trust]) each?.catch(() => {});
  return { evidence, trust };
}

/** @type {import('./check.js').Asked|null} */
let first = asked();
if (document.readyState === 'loading') {
  await new Promise((parsed) => document.addEventListener('DOMContentLoaded', parsed, { once: true }));
}
const { run } = await import('./page.js');
await run(() => {
  const now = first ?? asked();
  first = null;
  return now;
});
