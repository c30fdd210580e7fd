// SPDX-License-Identifier: GPL-3.0-or-later
// The page /verify: takes what a person drops, chooses, pastes or scans, has it verified here, and shows the verdict.

import { codePath, verify } from '../verifier/index.js';
import { TEXTS, text } from '../words/page.js';
import { NotHad, ask, contents, way } from './asking.js';
import { hasCamera, photographed, scan } from './camera.js';
import { byId } from './dom.js';
import { choose, first, speak } from './language.js';
import { card, strangerCard } from './show.js';
import { believe, believed, consider } from './trust.js';
import { unpin } from './pinned.js';
import { trustPanel } from './trustpanel.js';

/** @typedef {import('./show.js').Checked} Checked */
/** @typedef {import('./show.js').Source} Source */
/** What was found: a verdict, or a stranger's page. @typedef {Checked | {stranger: string}} Found */

const MAX_FILES = 50;
const MAX_SHOWN = 50;
const TRUST = '/v1/trust';

const page = {
  ways: byId('ways', HTMLElement),
  scan: byId('scan', HTMLButtonElement),
  files: byId('files', HTMLInputElement),
  camera: byId('camera', HTMLElement),
  video: byId('video', HTMLVideoElement),
  stop: byId('stop', HTMLButtonElement),
  form: byId('ask', HTMLFormElement),
  text: byId('text', HTMLInputElement),
  limits: byId('limits', HTMLElement),
  said: byId('said', HTMLElement),
  results: byId('results', HTMLElement),
  trust: byId('trust', HTMLElement),
  trustTitle: byId('trust-title', HTMLElement),
  trustBody: byId('trust-body', HTMLElement),
};

/**
 * All that can change; everything else follows from it in `render`.
 * @type {{language: import('./language.js').Language, said: [string, Record<string, unknown>], found: Found[],
 *   trust: import('./trust.js').Believed|null, offer: Extract<import('./trust.js').Outcome, {kind: 'offer'}>|null,
 *   arrived: boolean, warning: string, offline: boolean, install: (() => void)|null, camera: AbortController|null}}
 */
const state = {
  language: first(), said: ['', {}], found: [], trust: null, offer: null, arrived: false, warning: '', offline: false, install: null, camera: null,
};

/** What stands in the page. @type {{found: Found[]|null, language: string}} */
const drawn = { found: null, language: '' };

// What is said

/**
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 */
function say(key, values = {}) {
  state.said = [key, values];
  page.said.textContent = key && text(state.language, key, values);
}

function render() {
  const { language } = state;
  speak(language, { vi: TEXTS.vi.title, en: TEXTS.en.title });
  say(...state.said);
  page.limits.textContent = limits();
  page.limits.hidden = !page.limits.textContent;
  drawResults();
  drawTrust();
}

/** Draw the results if they have changed: what a person has unfolded, and where they are, stays else. */
function drawResults() {
  const { language, found, arrived } = state;
  if (drawn.found !== found || drawn.language !== language) {
    page.results.replaceChildren(...found.map((one) =>
      'stranger' in one ? strangerCard(one.stranger, language) : card(one, language, actions(one))));
    Object.assign(drawn, { found, language });
  }
  if (!arrived) return;
  state.arrived = false;
  const first = page.results.querySelector('h2');
  first?.focus({ preventScroll: true });
  first?.closest('article')?.scrollIntoView({ block: 'start' });
}

function drawTrust() {
  const inside = page.trust.contains(document.activeElement);
  page.trustBody.replaceChildren(trustPanel(state, state.language, {
    compared: () => act(async () => {
      if (state.trust) state.trust = await believe(state.trust.bytes, true);
    }),
    forget: () => act(async () => {
      await unpin();
      Object.assign(state, { trust: null, offer: null, warning: '' });
      say('trust-forgotten');
    }),
    accept: () => act(async () => {
      if (state.offer) state.trust = await believe(state.offer.bytes, state.trust?.compared ?? false);
      state.offer = null;
      say('trust-renewed');
    }),
    decline: () => act(async () => {
      state.offer = null;
      say('offer-kept');
    }),
  }));
  // The button that was pressed may be gone.
  if (inside && !page.trust.contains(document.activeElement)) page.trustTitle.focus();
}

function limits() {
  if (!isSecureContext) return text(state.language, 'insecure');
  return hasCamera ? '' : text(state.language, 'in-app');
}

/**
 * Do something that a person asked for, say what went wrong, and show what has changed.
 * @param {() => Promise<unknown>} what
 */
async function act(what) {
  try {
    await what();
  } catch (error) {
    if (!(error instanceof NotHad)) throw error;
    say(error.key, { host: location.host, said: error.said, n: MAX_FILES });
  } finally {
    render();
  }
}

// What is checked

/**
 * Verify evidence, show the verdict first of all and go to it.
 * @param {Uint8Array} evidence
 * @param {Source} source
 * @param {string|null} code
 */
async function check(evidence, source, code) {
  const trust = state.trust ?? (await fetchTrust());
  if (!trust) throw new NotHad('no-trust');
  say('checking');
  const verdict = await verify(evidence, trust.bytes, { code, now: Math.floor(Date.now() / 1000) });
  say('');
  found({ source, evidence, verdict, compared: trust.compared });
}

/** @param {Found} one */
function found(one) {
  state.found = [one, ...state.found].slice(0, MAX_SHOWN);
  state.arrived = true;
}

/**
 * Follow what was scanned or pasted: to this province, to another member, or nowhere.
 * @param {string} said
 */
async function follow(said) {
  // A page is a member's or a stranger's by the trust file alone.
  const trust = state.trust ?? (await fetchTrust());
  if (!trust) throw new NotHad('no-trust');
  const to = way(said, trust.opened.members);
  if (to.kind === 'nothing') return say('not-a-code', { text: said.slice(0, 100) });
  if (to.kind === 'stranger') {
    say('');
    return found({ stranger: to.host });
  }
  say('asking', to);
  try {
    await check(await ask(to.url, state.language), { host: to.host }, to.code);
  } catch (error) {
    if (!(error instanceof NotHad)) throw error;
    say(error.key, { host: to.host, said: error.said });
  }
}

/** @param {Iterable<File>} files */
async function take(files) {
  const all = [...files];
  if (all.length > MAX_FILES) throw new NotHad('too-many');
  for (const file of all) {
    if (file.type.startsWith('image/')) {
      say('reading');
      await follow(await photographed(file));
    } else await takeBytes(await contents(file), file.name);
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {string} name
 */
async function takeBytes(bytes, name) {
  if (isTrust(bytes)) return considerTrust(bytes, true);
  await check(bytes, { file: name }, null);
}

/**
 * Whether a file says that it is a trust file; what it is worth is for the verifier to say.
 * @param {Uint8Array} bytes
 */
function isTrust(bytes) {
  try {
    const { format } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof format === 'string' && format.startsWith('moneo/trust/');
  } catch {
    return false;
  }
}

/**
 * What can be done with evidence that came without a label: compare it with the one at hand.
 * @param {Checked} one
 */
function actions(one) {
  const compare = (/** @type {string} */ label) => act(async () => {
    const code = readCode(label);
    if (code === null) return say('not-a-code', { text: label.slice(0, 100) });
    state.found = state.found.filter((other) => other !== one);
    await check(one.evidence, one.source, code);
  });
  return { compare, scan: () => act(() => throughCamera(compare)) };
}

/** @param {string} label */
function readCode(label) {
  try {
    return codePath(label.trim());
  } catch {
    return null;
  }
}

/** @param {(text: string) => Promise<unknown>} then */
async function throughCamera(then) {
  stopCamera();
  const stop = (state.camera = new AbortController());
  page.camera.hidden = false;
  page.scan.hidden = true;
  page.stop.focus();
  page.camera.scrollIntoView({ block: 'nearest' });
  say('camera-starting');
  let read = '';
  try {
    read = await scan(page.video, stop.signal, () => say('camera-on'));
  } finally {
    if (state.camera === stop) stopCamera();
  }
  if (read) await then(read);
  else say('camera-off');
}

function stopCamera() {
  const open = state.camera;
  state.camera = null;
  open?.abort();
  const focused = page.camera.contains(document.activeElement);
  page.camera.hidden = true;
  page.scan.hidden = !hasCamera;
  if (open && focused) page.scan.focus();
}

// Whom this device believes

/** @returns {Promise<import('./trust.js').Believed|null>} */
async function fetchTrust() {
  try {
    await considerTrust(await ask(TRUST, state.language), false);
  } catch (error) {
    if (!(error instanceof NotHad)) throw error;
    // Without a network the pinned file goes on; without one there is none, and whoever needs it is told.
  }
  return state.trust;
}

/**
 * @param {Uint8Array} bytes
 * @param {boolean} told whether a person brought it, and is told what became of it
 */
async function considerTrust(bytes, told) {
  const became = await consider(bytes, state.trust).catch((error) => {
    if (error.name !== 'TrustError') throw error;
    return { kind: /** @type {const} */ ('refused'), detail: String(error.message) };
  });
  if (became.kind === 'pinned' || became.kind === 'renewed') state.trust = became.believed;
  if (became.kind === 'offer') state.offer = became;
  if (!told) state.warning = became.kind === 'other' ? 'trust-other-here' : '';
  if (told || became.kind === 'renewed' || became.kind === 'offer') {
    say(became.kind === 'offer' ? 'offer-title' : `trust-${became.kind}`, 'detail' in became ? became : {});
  }
  if (became.kind === 'offer' && told) page.trust.scrollIntoView({ block: 'start' });
}

// What the person does

page.form.addEventListener('submit', (event) => {
  event.preventDefault();
  act(() => follow(page.text.value));
});
page.files.addEventListener('change', () => {
  const files = [...(page.files.files ?? [])];
  // So that the same file, mended, can be chosen again.
  page.files.value = '';
  act(() => take(files));
});
page.scan.addEventListener('click', () => act(() => throughCamera(follow)));
page.stop.addEventListener('click', stopCamera);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) stopCamera();
});
for (const link of document.querySelectorAll('a.language')) {
  link.addEventListener('click', (event) => {
    event.preventDefault();
    state.language = link.getAttribute('hreflang') === 'en' ? 'en' : 'vi';
    choose(state.language);
    render();
    // The link that was pressed has gone; its counterpart is where it stood.
    /** @type {HTMLElement|null} */ (document.querySelector(`a.language[data-in="${state.language}"]`))?.focus();
  });
}
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dropping');
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dropping');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const { files } = event.dataTransfer ?? {};
  const said = event.dataTransfer?.getData('text/uri-list') || event.dataTransfer?.getData('text/plain');
  act(async () => {
    if (files?.length) await take(files);
    else if (said) await follow(said);
  });
});
addEventListener('beforeinstallprompt', (event) => {
  event.preventDefault();
  state.install = () => /** @type {any} */ (event).prompt();
  drawTrust();
});
addEventListener('hashchange', () => act(begin));

/** What the address asks for: #code=…, or ?evidence=… of this province. */
async function begin() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  const path = new URLSearchParams(location.search).get('evidence');
  if (code) page.text.value = code;
  if (path && !URL.canParse(path, location.origin)) say('not-a-code', { text: path.slice(0, 100) });
  else if (path) {
    const url = new URL(path, location.origin);
    if (url.origin !== location.origin) return found({ stranger: url.host });
    await check(await ask(url.href, state.language), { host: url.host }, code ? readCode(code) : null);
  } else if (code) await follow(code);
}

async function start() {
  page.scan.hidden = !hasCamera;
  page.ways.hidden = false;
  page.trust.hidden = false;
  state.trust = await believed();
  render();
  await act(fetchTrust);
  await act(begin);
}

if (navigator.serviceWorker) {
  navigator.serviceWorker.register('/verify/worker.js', { scope: '/verify' }).catch(() => undefined);
  navigator.serviceWorker.ready.then(() => {
    state.offline = true;
    drawTrust();
  });
}
start();
