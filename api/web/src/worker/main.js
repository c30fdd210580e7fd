// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps /verify on the device after the first visit: the page and all files that it names at once, the scanner when
// it was used once. What is asked of /v1 always comes from the network: nothing that was proven yesterday is shown as
// today's. Files are named after their content, so that a kept one is never an old one.

/// <reference lib="webworker" />

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const PAGE = '/verify';
const CACHE = 'moneo-verify';
const FILES = '/static/';
// What the page asks for at once, and what it may ask for later: the scanner.
const [NOW, LATER] = [/(?:href|src)="([^"]+)"/g, /data-later="([^"]+)"/g];

worker.addEventListener('install', (event) => event.waitUntil(refresh()));
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== worker.location.origin) return;
  if (request.mode === 'navigate' && pathname === PAGE) event.respondWith(page(event));
  else if (pathname.startsWith(FILES)) event.respondWith(file(pathname));
});

/**
 * The page as it was kept, at once, also where the network is slow; a newer one is kept for the next visit.
 * @param {FetchEvent} event
 */
async function page(event) {
  const kept = await (await caches.open(CACHE)).match(PAGE);
  if (!kept) return fetch(event.request);
  event.waitUntil(refresh().catch(() => undefined));
  return kept;
}

/**
 * Keep the page as the server has it now, with all its files or not at all. Those of the page before stay until the
 * next time: it may be loading them.
 */
async function refresh() {
  const answer = await fetch(PAGE, { cache: 'no-cache', credentials: 'omit' });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const cache = await caches.open(CACHE);
  const [html, before] = [await answer.clone().text(), await (await cache.match(PAGE))?.text()];
  const kept = (await cache.keys()).map((request) => new URL(request.url).pathname);
  await cache.addAll(named(html, NOW).filter((path) => !kept.includes(path)));
  await cache.put(PAGE, answer);
  const needed = [PAGE, ...[html, before ?? ''].flatMap((one) => [...named(one, NOW), ...named(one, LATER)])];
  await Promise.all(kept.filter((path) => !needed.includes(path)).map((path) => cache.delete(path)));
}

/**
 * The files that a page names.
 * @param {string} html
 * @param {RegExp} attribute
 */
function named(html, attribute) {
  const all = [...html.matchAll(attribute)].flatMap(([, paths]) => paths.split(' '));
  return [...new Set(all)].filter((path) => path.startsWith(FILES));
}

/** @param {string} path */
async function file(path) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(path);
  if (kept) return kept;
  const answer = await fetch(path);
  if (answer.ok) await cache.put(path, answer.clone());
  return answer;
}
