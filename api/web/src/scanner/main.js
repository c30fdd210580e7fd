// SPDX-License-Identifier: GPL-3.0-or-later
// Reads the code on a label, QR or GS1 DataMatrix, from the camera or a photograph. Loaded only when asked for:
// the WebAssembly of zxing-cpp comes from this server, and no picture leaves the device.

import { prepareZXingModule, readBarcodes } from 'zxing-wasm/reader';
import wasm from 'zxing-wasm/reader/zxing_reader.wasm';

// `Plain` keeps the group separator between the elements of a GS1 code.
/** @type {import('zxing-wasm/reader').ReaderOptions} */
const OPTIONS = { formats: ['QRCode', 'DataMatrix'], textMode: 'Plain', maxNumberOfSymbols: 4 };
// As many pixels as a module of a small code needs at arm's length; a phone reads such a frame in some 30 ms.
const MAX_FRAME = 960;
const MAX_PHOTO = 2400;
const PAUSE_MS = 80;

prepareZXingModule({ overrides: { locateFile: () => wasm } });

/**
 * Fetch and start the reader, so that the first frame need not wait for it.
 * @returns {Promise<void>}
 */
export async function ready() {
  await prepareZXingModule({ overrides: { locateFile: () => wasm }, fireImmediately: true });
}

/**
 * Return the text of the code on a photograph, or null if none can be read.
 * @param {Blob} photo
 * @returns {Promise<string|null>}
 */
export async function readPhoto(photo) {
  const picture = await createImageBitmap(photo);
  try {
    return await read(pixels(picture, picture.width, picture.height, MAX_PHOTO));
  } finally {
    picture.close();
  }
}

/**
 * Look at what a camera shows until a code can be read, and return its text; "" if told to stop.
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function watch(video, signal) {
  while (!signal.aborted) {
    const text = video.videoWidth ? await read(pixels(video, video.videoWidth, video.videoHeight, MAX_FRAME)) : null;
    if (text && !signal.aborted) return text;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return '';
}

/** @param {ImageData} image */
async function read(image) {
  const found = await readBarcodes(image, OPTIONS);
  return found.find((one) => one.isValid)?.text ?? null;
}

/**
 * @param {CanvasImageSource} picture
 * @param {number} width
 * @param {number} height
 * @param {number} most
 * @returns {ImageData}
 */
function pixels(picture, width, height, most) {
  const scale = Math.min(1, most / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no canvas');
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
