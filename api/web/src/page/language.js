// SPDX-License-Identifier: GPL-3.0-or-later
// Which language the page speaks: ?lang=, else the one chosen last, else the server's. The page holds both, so that
// it can change without being loaded again, and without a network.

/** @typedef {import('../words/verdict.js').Language} Language */

const KEY = 'moneo-language';

/**
 * Return the language to begin with.
 * @returns {Language}
 */
export function first() {
  const asked = new URLSearchParams(location.search).get('lang') ?? kept() ?? document.documentElement.lang;
  return asked === 'en' ? 'en' : 'vi';
}

/**
 * Speak a language: the page's own texts, the links to other pages, the address.
 * @param {Language} language
 * @param {Record<Language, string>} title
 */
export function speak(language, title) {
  document.documentElement.lang = language;
  document.title = title[language];
  for (const link of document.querySelectorAll('a[href*="?lang="]')) {
    if (!link.matches('.language')) link.setAttribute('href', link.getAttribute('href')?.split('?')[0] + `?lang=${language}`);
  }
}

/**
 * Remember the language, and let the address say it.
 * @param {Language} language
 */
export function choose(language) {
  const url = new URL(location.href);
  url.searchParams.set('lang', language);
  history.replaceState(null, '', url);
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // This browser keeps nothing: the address does.
  }
}

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
