// SPDX-License-Identifier: GPL-3.0-or-later
// Says EPCIS in words that a buyer of crab understands, Vietnamese and English: the same tables and rules as the
// province's own pages (api/labels.py; a test holds both to the same). A name that is in no table is shown as it is.

import { codePath } from '../verifier/index.js';
import { printable, step } from './verdict.js';

/** @typedef {import('./verdict.js').Language} Language */
/** @typedef {import('./verdict.js').ProvenRecord} ProvenRecord */

const MAX_TEXT = 500;
const MAX_ITEMS = 20;

/** @type {Record<string, [string, string]>} */
export const TRACKING_EVENTS = {
  hatchery: ['Ươm giống', 'Hatchery'],
  stocking: ['Thả giống', 'Stocking'],
  growout: ['Nuôi', 'Grow-out'],
  feeding: ['Cho ăn', 'Feeding'],
  harvest: ['Thu hoạch', 'Harvest'],
  capture: ['Khai thác', 'Capture'],
  landing: ['Cập cảng', 'Landing'],
  receiving: ['Tiếp nhận', 'Receiving'],
  transformation: ['Chế biến', 'Processing'],
  packing: ['Đóng gói', 'Packing'],
  storage: ['Bảo quản', 'Storage'],
  shipping: ['Xuất hàng', 'Shipping'],
  sale: ['Bán hàng', 'Sale'],
};

/** @type {Record<string, [string, string]>} */
export const BUSINESS_STEPS = {
  accepting: ['Chấp nhận', 'Accepting'],
  arriving: ['Đến nơi', 'Arriving'],
  assembling: ['Lắp ghép', 'Assembling'],
  collecting: ['Thu gom', 'Collecting'],
  commissioning: ['Gán mã', 'Commissioning'],
  consigning: ['Ký gửi', 'Consigning'],
  creating_class_instance: ['Tạo lô', 'Creating a lot'],
  cycle_counting: ['Kiểm đếm', 'Cycle counting'],
  decommissioning: ['Ngừng dùng mã', 'Decommissioning'],
  departing: ['Rời nơi', 'Departing'],
  destroying: ['Tiêu hủy', 'Destroying'],
  dispensing: ['Cấp phát', 'Dispensing'],
  encoding: ['Ghi mã', 'Encoding'],
  entering_exiting: ['Ra vào', 'Entering or exiting'],
  holding: ['Lưu giữ', 'Holding'],
  inspecting: ['Kiểm tra', 'Inspecting'],
  installing: ['Lắp đặt', 'Installing'],
  loading: ['Bốc hàng', 'Loading'],
  packing: ['Đóng gói', 'Packing'],
  picking: ['Lấy hàng', 'Picking'],
  receiving: ['Tiếp nhận', 'Receiving'],
  removing: ['Lấy ra', 'Removing'],
  repackaging: ['Đóng gói lại', 'Repackaging'],
  repairing: ['Sửa chữa', 'Repairing'],
  replacing: ['Thay thế', 'Replacing'],
  reserving: ['Giữ mã', 'Reserving'],
  retail_selling: ['Bán lẻ', 'Retail sale'],
  sampling: ['Lấy mẫu', 'Sampling'],
  shipping: ['Xuất hàng', 'Shipping'],
  staging_outbound: ['Chờ xuất', 'Staging outbound'],
  storing: ['Bảo quản', 'Storing'],
  stocking: ['Nhập kho', 'Stocking'],
  transforming: ['Chế biến', 'Transforming'],
  transporting: ['Vận chuyển', 'Transporting'],
  unloading: ['Dỡ hàng', 'Unloading'],
  unpacking: ['Tháo dỡ', 'Unpacking'],
  void_shipping: ['Hủy xuất hàng', 'Void shipping'],
};

/** @type {Record<string, [string, string]>} */
export const EVENT_TYPES = {
  'epcis.objectevent': ['Sự kiện', 'Event'],
  'epcis.aggregationevent': ['Gộp kiện', 'Aggregation'],
  'epcis.transformationevent': ['Chế biến', 'Transformation'],
  'epcis.transactionevent': ['Giao dịch', 'Transaction'],
  'epcis.associationevent': ['Gắn kết', 'Association'],
};

/** @type {Record<string, [string, string]>} */
export const FIELDS = {
  'moneo:place': ['Nơi thực hiện', 'Place'],
  'moneo:scientificName': ['Tên khoa học', 'Scientific name'],
  'moneo:hatchery': ['Trại giống', 'Hatchery'],
  'moneo:method': ['Cách thực hiện', 'Method'],
  inputQuantityList: ['Từ lô', 'Made from'],
  inputEPCList: ['Từ', 'Made from'],
  outputQuantityList: ['Thành lô', 'Made into'],
  outputEPCList: ['Thành', 'Made into'],
  quantityList: ['Số lượng', 'Quantity'],
  childQuantityList: ['Số lượng bên trong', 'Quantity inside'],
  epcList: ['Mã', 'Codes'],
  childEPCs: ['Mã bên trong', 'Codes inside'],
  parentID: ['Kiện', 'Parent'],
  'moneo:customer': ['Khách hàng', 'Customer'],
  'moneo:parties': ['Các bên', 'Parties'],
  'moneo:document': ['Chứng từ', 'Document'],
  'moneo:vehicle': ['Phương tiện', 'Vehicle'],
  'moneo:recordedBy': ['Người ghi', 'Recorded by'],
  'moneo:phone': ['Điện thoại', 'Phone'],
  readPoint: ['Điểm ghi nhận', 'Read point'],
  bizLocation: ['Địa điểm', 'Location'],
  disposition: ['Tình trạng', 'Disposition'],
  name: ['Tên', 'Name'],
  description: ['Mô tả', 'Description'],
  'moneo:note': ['Ghi chú', 'Note'],
};

/** @type {Record<string, [string, string]>} */
export const UNITS = {
  KGM: ['kg', 'kg'],
  GRM: ['g', 'g'],
  TNE: ['tấn', 't'],
  LTR: ['lít', 'l'],
  H87: ['con', 'pcs'],
  CT: ['thùng', 'cases'],
  XBX: ['hộp', 'boxes'],
};

// Shown in the heading of a record, or of interest to machines only.
export const SAID_ELSEWHERE = [
  '@context',
  'action',
  'bizStep',
  'eventID',
  'eventTime',
  'eventTimeZoneOffset',
  'moneo:cte',
  'moneo:product',
  'recordTime',
];

/**
 * Return the heading of a record: its tracking event, else its business step, else its type.
 * @param {ProvenRecord} one
 * @param {Language} language
 * @returns {string}
 */
export function heading(one, language) {
  const table = typeof one.fields['moneo:cte'] === 'string' ? TRACKING_EVENTS : { ...EVENT_TYPES, ...BUSINESS_STEPS };
  const name = step(one).replace(/^.*\//, '');
  return pick(table, name, language) ?? short(name);
}

/**
 * Return [label, value] of the fields worth a line: known ones in the table's order, then the others.
 * @param {Record<string, unknown>} fields
 * @param {Language} language
 * @returns {[string, string][]}
 */
export function rows(fields, language) {
  const known = Object.keys(FIELDS).filter((name) => Object.hasOwn(fields, name));
  const others = Object.keys(fields).filter((name) => !Object.hasOwn(FIELDS, name));
  return [...known, ...others]
    .filter((name) => !SAID_ELSEWHERE.includes(name))
    .map((name) => /** @type {[string, string]} */ ([field(name, language), value(fields[name], language)]))
    .filter(([, text]) => text);
}

/**
 * Return the label of a field.
 * @param {string} name
 * @param {Language} language
 * @returns {string}
 */
export function field(name, language) {
  return pick(FIELDS, name, language) ?? printable(name.replace(/^moneo:/, ''));
}

/**
 * Return any JSON value as a short text: quantities with units, links as codes, the rest as it is.
 * @param {unknown} thing
 * @param {Language} language
 * @returns {string}
 */
export function value(thing, language) {
  if (typeof thing === 'boolean') return { vi: ['không', 'có'], en: ['no', 'yes'] }[language][Number(thing)];
  if (typeof thing === 'number') return number(thing, language);
  if (typeof thing === 'string') return code(thing, language);
  if (Array.isArray(thing)) {
    const texts = thing.slice(0, MAX_ITEMS).map((one) => value(one, language)).filter(Boolean);
    return [...texts, ...(thing.length > MAX_ITEMS ? ['…'] : [])].join('; ');
  }
  return thing === null || typeof thing !== 'object' ? '' : object(/** @type {Record<string, unknown>} */ (thing), language);
}

/**
 * @param {Record<string, unknown>} thing
 * @param {Language} language
 */
function object(thing, language) {
  if ('epcClass' in thing) return quantity(thing, language);
  if (language in thing || 'vi' in thing) return value(thing[language] ?? thing.vi, language);
  return short(Object.entries(thing).slice(0, MAX_ITEMS).map(([name, part]) => `${name}: ${value(part, language)}`).join(', '));
}

/**
 * @param {Record<string, unknown>} thing
 * @param {Language} language
 */
function quantity({ epcClass, quantity: amount, uom }, language) {
  const name = code(String(epcClass), language);
  if (typeof amount !== 'number') return name;
  const unit = pick(UNITS, String(uom ?? ''), language) ?? printable(String(uom ?? ''));
  return `${number(amount, language)} ${unit} (${name})`.replace('  ', ' ');
}

/**
 * Return a number as people of the language write it (32,5 in Vietnamese).
 * @param {number} amount
 * @param {Language} language
 */
function number(amount, language) {
  const [whole, part] = amount.toFixed(3).replace(/\.?0+$/, '').split('.');
  const [group, point] = language === 'vi' ? ['.', ','] : [',', '.'];
  return whole.replace(/\B(?=(\d{3})+$)/g, group) + (part ? point + part : '');
}

/**
 * Return a Digital Link as lot and serial, or the GTIN if it has neither; other text as it is.
 * @param {string} text
 * @param {Language} language
 */
function code(text, language) {
  const path = text.includes('://') ? parsed(text) : '';
  const [, lot] = /\/10\/([^/]+)/.exec(path) ?? [];
  const [, serial] = /\/21\/([^/]+)/.exec(path) ?? [];
  const words = { vi: ['lô', 'số'], en: ['lot', 'serial'] }[language];
  const parts = [lot, serial].flatMap((it, at) => (it ? [`${words[at]} ${decodeURIComponent(it)}`] : []));
  if (!path.startsWith('/01/')) return short(path || text);
  return parts.join(', ') || `GTIN ${path.slice(4, 18)}`;
}

/** @param {string} text */
function parsed(text) {
  try {
    return codePath(text);
  } catch {
    return '';
  }
}

/** @param {string} text */
function short(text) {
  return printable([...text].slice(0, MAX_TEXT).join(''));
}

/**
 * @param {Record<string, [string, string]>} table
 * @param {string} name
 * @param {Language} language
 * @returns {string|undefined}
 */
function pick(table, name, language) {
  return Object.hasOwn(table, name) ? table[name][language === 'vi' ? 0 : 1] : undefined;
}
