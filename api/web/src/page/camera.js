// SPDX-License-Identifier: GPL-3.0-or-later
// The phone's camera, and the reader of codes, which is fetched when it is first needed.

import { NotHad } from './asking.js';

/** Whether this browser could show a camera's picture here. */
export const hasCamera = isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);

const WANTED = { video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false };
const MAX_PHOTO = 64 << 20;
/** @type {Record<string, string>} */
const REFUSALS = { NotAllowedError: 'camera-denied', SecurityError: 'camera-denied', NotFoundError: 'camera-none', OverconstrainedError: 'camera-none' };

/**
 * Show the camera's picture until a code is read, and return its text; "" if told to stop.
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal
 * @param {() => void} started called when the picture is there
 * @returns {Promise<string>}
 * @throws {NotHad} no camera, not allowed, no reader
 */
export async function scan(video, signal, started) {
  const [reader, stream] = await Promise.allSettled([reading(), camera()]);
  try {
    if (stream.status === 'rejected') throw stream.reason;
    if (reader.status === 'rejected') throw reader.reason;
    video.srcObject = stream.value;
    await video.play();
    started();
    return await reader.value.watch(video, signal);
  } finally {
    video.srcObject = null;
    if (stream.status === 'fulfilled') for (const track of stream.value.getTracks()) track.stop();
  }
}

/**
 * Return the text of the code on a photograph.
 * @param {Blob} photo
 * @returns {Promise<string>}
 * @throws {NotHad} no reader, no picture, no code
 */
export async function photographed(photo) {
  if (photo.size > MAX_PHOTO) throw new NotHad('no-picture');
  const reader = await reading();
  const text = await reader.readPhoto(photo).catch(() => {
    throw new NotHad('no-picture');
  });
  if (text === null) throw new NotHad('no-code');
  return text;
}

async function reading() {
  try {
    const reader = await import('../scanner/main.js');
    await reader.ready();
    return reader;
  } catch {
    throw new NotHad('scanner-none');
  }
}

async function camera() {
  if (!hasCamera) throw new NotHad('camera-none');
  return navigator.mediaDevices.getUserMedia(WANTED).catch((error) => {
    throw new NotHad(REFUSALS[error.name] ?? 'camera-busy');
  });
}
