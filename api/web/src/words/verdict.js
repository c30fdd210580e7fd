// SPDX-License-Identifier: GPL-3.0-or-later
// Says a verdict as a person would, in Vietnamese and in English: short, plain, no more than is proven.
// The sentences are those of `moneo verify` (anchor/wording.py; a test holds both to the same), so that
// two people who check the same file read the same. Times are Vietnam's, to the minute; what is proven is
// rounded up, so that no text claims an earlier moment than the evidence.

/** @typedef {'vi'|'en'} Language */
/** @typedef {{number: number, key: string, state: 'ok'|'failed'|'skipped', detail: string}} Step */
/** @typedef {{step: number, kind: string, detail: string}} Failure */
/** @typedef {{key: string, record: number|null, days: number|null}} Note */
/**
 * One record whose every link holds; times are POSIX seconds.
 * @typedef {{id: string, leaf: string, type: string, mode: string, fields: Record<string, unknown>,
 *   hidden: string[], issuer: string, issuer_name: string, custody: string, province: string, log: string,
 *   claimed: number, event_time: number|null, when: number, assurance: string, validators: number,
 *   statement: string|null, level: string|null, superseded_by: string[]}} ProvenRecord
 */
/**
 * @typedef {{proven: boolean, assurance: string|null, steps: Step[], records: ProvenRecord[],
 *   fingerprint: string, failure: Failure|null, notes: Note[], expect_code: string|null,
 *   not_proven: string[]}} Verdict
 */

const VIETNAM_OFFSET = 7 * 3600;
const MAX_SHOWN_RECORDS = 40;
// With more records than these the fields stay folded: a journey is a list.
export const MAX_DETAILED_RECORDS = 3;
const MAX_VALUE = 200;
// The seconds of the years 1 to 9999, which a date can name.
const [FIRST, LAST] = [-62135596800, 253402300799];

/** @type {Record<Language, Record<string, string>>} */
export const WORDS = {
  vi: {
    'one-validator': 'một nút kiểm chứng: chính tỉnh đó. Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa.',
    'one-decides': 'một nút kiểm chứng quyết định một mình. Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa.',
    'consortium': 'Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa. Hơn 2/3 trong số {validators} nút kiểm chứng đã ký.',
    'past-era': 'các nút kiểm chứng cũ đã ký. Đã chứng minh: {what} có từ trước {when}, nếu khóa của các nút đã nghỉ không bị lạm dụng.',
    'past-era-one': 'một nút kiểm chứng: chính tỉnh đó, và nay đã nghỉ. Đã chứng minh: {what} có từ trước {when}, nếu khóa cũ không bị lạm dụng.',
    'one-validator-why': 'Ngoài tỉnh ra, chưa có ai khác xác nhận thời điểm và việc không có gì bị thay.',
    'past-era-why': 'Tệp này không nối bản ghi với các nút hiện nay: hãy xin bằng chứng mới.',
    'records': '{n} bản ghi',
    'failed': 'KHÔNG chứng minh được: {step}.',
    'detail': 'Chi tiết kỹ thuật (bước {number}): {detail}',
    'code': 'Mã: {code}',
    'others': 'Lời của bên khác về mã này (không phải của chủ mã, không thuộc nhật ký):',
    'more': '… và {n} bản ghi nữa',
    'holder': 'ghi bởi {name}',
    'operator': 'tỉnh ghi thay cho {name}',
    'unnamed': 'doanh nghiệp không nêu tên ({id})',
    'province': 'sổ của {name}',
    'unknown-province': 'sổ {log} (chủ sổ không có trong tệp tin cậy)',
    'by': 'có từ trước {when}',
    'claimed': 'doanh nghiệp khai lập lúc {when}',
    'hidden': 'Không cho xem: {names}',
    'superseded': 'đã được chính người ghi thay thế hoặc hủy ({id})',
    'serial': 'đúng sản phẩm này',
    'lot': 'đúng lô này',
    'gtin': 'đúng mã sản phẩm này',
    'own': 'đúng mã này',
    'linked': 'nguyên liệu đầu vào',
    'party': 'bên liên quan',
    'practice': 'ghi để tập, không phải thật',
    'written-later': 'ghi muộn: việc khai trước thời điểm chứng minh {days} ngày',
    'claimed-after': 'giờ khai muộn hơn thời điểm đã chứng minh: đồng hồ của người ghi sai',
    'evidence-age': 'Tính đến {when}: {days} ngày trước. Thông báo thu hồi sau đó không có trong tệp này.',
    'trust-age': 'Tệp tin cậy: từ lần đổi nút kiểm chứng gần nhất mà nó biết đã {days} ngày.',
    'clock-behind': 'Đồng hồ của máy này chậm hơn bằng chứng: số ngày ở trên không đáng tin.',
    'not-proven': 'Không chứng minh: tem trên tay bạn là tem gốc; lời khai là đúng sự thật; không có gì bị giấu đi.',
    'fingerprint': 'Dấu vân tay tệp tin cậy: {fingerprint}',
  },
  en: {
    'one-validator': 'one validator: the province itself. Proven: {what} existed by {when}, unchanged since.',
    'one-decides': 'one validator decides alone. Proven: {what} existed by {when}, unchanged since.',
    'consortium': 'Proven: {what} existed by {when}, unchanged since. More than 2/3 of {validators} validators signed.',
    'past-era': 'former validators signed. Proven: {what} existed by {when}, unless retired keys were misused.',
    'past-era-one': 'one validator: the province itself, since retired. Proven: {what} existed by {when}, unless its old key was misused.',
    'one-validator-why': 'Nobody but the province vouches for the time, and for nothing having been replaced.',
    'past-era-why': "The file does not lead to today's validators: ask for new evidence.",
    'records': '{n} records',
    'failed': 'NOT proven: {step}.',
    'detail': 'Technical detail (step {number}): {detail}',
    'code': 'Code: {code}',
    'others': 'What others say of this code (not its owner, not part of the diary):',
    'more': '… and {n} more records',
    'holder': 'written by {name}',
    'operator': 'written by the province for {name}',
    'unnamed': 'a business that shows no name ({id})',
    'province': 'log of {name}',
    'unknown-province': 'log {log} (the trust file does not name its owner)',
    'by': 'existed by {when}',
    'claimed': 'written at {when}, the business says',
    'hidden': 'Not shown: {names}',
    'superseded': 'replaced or voided by its own writer ({id})',
    'serial': 'of this very item',
    'lot': 'of this lot',
    'gtin': 'of this product',
    'own': 'of this code',
    'linked': 'of what went into it',
    'party': 'a party to it',
    'practice': 'practice, not real',
    'written-later': 'written later: it claims a time {days} days before the proven one',
    'claimed-after': "claims a later time than the proven one: its writer's clock is wrong",
    'evidence-age': 'As of {when}, {days} days ago. A recall after that is not in this file.',
    'trust-age': 'Trust file: {days} days since the newest change of validators that it knows.',
    'clock-behind': "This machine's clock is behind the evidence: don't rely on the days above.",
    'not-proven': 'Not proven: that the label in your hand is the original; that what was written is true; that nothing was left out.',
    'fingerprint': "Trust file's fingerprint: {fingerprint}",
  },
};

/** @type {Record<Language, Record<string, string>>} */
export const KINDS = {
  vi: {
    'malformed': 'tệp này không phải bằng chứng, hoặc đã hỏng',
    'too-large': 'tệp này vượt giới hạn của một tệp bằng chứng',
    'newer': 'tệp này cần bản kiểm tra mới hơn: hãy cập nhật moneo',
    'invalid': 'một mắt xích trong tệp này sai, nó đã bị sửa hoặc chưa từng đúng',
    'untrusted': 'tệp tin cậy của bạn không dẫn đến bằng chứng này; nó thuộc chuỗi khác, hoặc cần tệp tin cậy mới hơn',
    'mismatch': 'đây là bằng chứng của mã khác, không phải mã bạn hỏi',
  },
  en: {
    'malformed': 'this file is no evidence, or it is damaged',
    'too-large': 'this file is beyond the limits of an evidence file',
    'newer': 'this file needs a newer verifier: update moneo',
    'invalid': 'a link in this file is wrong; it was altered, or never right',
    'untrusted': 'your trust file does not lead to this evidence; it is of another chain, or needs a newer trust file',
    'mismatch': 'this is evidence of another code than the one you asked for',
  },
};

// What to do about it.
/** @type {Record<Language, Record<string, string>>} */
export const ADVICE = {
  vi: {
    'malformed': 'Hãy tải lại tệp bằng chứng: tệp này có thể bị cắt ngang, hoặc là một tệp khác.',
    'too-large': 'Hãy xin bằng chứng của từng bản ghi thay cho cả nhật ký.',
    'newer': 'Sau khi cập nhật hãy kiểm tra lại: điều này chưa nói gì về hàng hóa.',
    'invalid': 'Đừng dựa vào tệp này. Hãy tự tải bằng chứng mới từ trang của một thành viên; nếu vẫn sai, giữ tệp lại và báo cho tỉnh.',
    'untrusted': 'Hãy lấy tệp tin cậy mới từ trang của một thành viên, so dấu vân tay rồi kiểm tra lại; nếu vẫn vậy, hãy xin bằng chứng mới.',
    'mismatch': 'Hãy so mã trên nhãn với mã bạn hỏi. Nếu chính trang của nhãn này đưa ra tệp này, nhãn có thể là giả.',
  },
  en: {
    'malformed': 'Fetch the evidence file again: this one may be cut short, or another file altogether.',
    'too-large': 'Ask for the evidence of single records instead of the whole diary.',
    'newer': 'Check again after updating: this says nothing of the goods.',
    'invalid': "Don't rely on this file. Fetch new evidence yourself from a member's page; if that fails too, keep the file and tell the province.",
    'untrusted': "Get a new trust file from a member's page, compare its fingerprint and check again; if it stays so, ask for new evidence.",
    'mismatch': "Compare the code on the label with the one you asked for. If this label's own page gave this file, the label may be false.",
  },
};

// CBV 2.0 §7.1 business steps and the diaries' own tracking events, in the words of these sentences.
/** @type {Record<Language, Record<string, string>>} */
export const STEPS = {
  vi: {
    stocking: 'thả giống', harvest: 'thu hoạch', commissioning: 'lập mã mới', creating_class_instance: 'lập lô mới',
    packing: 'đóng gói', receiving: 'nhận hàng', shipping: 'xuất hàng', storing: 'lưu kho', retail_selling: 'bán lẻ',
    destroying: 'tiêu hủy', inspecting: 'kiểm tra',
  },
  en: {
    stocking: 'stocking', harvest: 'harvest', commissioning: 'commissioning', creating_class_instance: 'new lot',
    packing: 'packing', receiving: 'receiving', shipping: 'shipping', storing: 'storing', retail_selling: 'retail sale',
    destroying: 'destroying', inspecting: 'inspection',
  },
};

/**
 * Return the one sentence that says the most important: the first line of the verdict's text.
 * @param {Verdict} verdict
 * @param {Language} language
 * @returns {string}
 */
export function headline(verdict, language) {
  if (!verdict.proven) {
    return fill(WORDS[language].failed, { step: KINDS[language][verdict.failure?.kind ?? 'malformed'] });
  }
  const weakest = verdict.records.find((one) => one.assurance === verdict.assurance) ?? verdict.records[0];
  const when = moment(latest(verdict), language, true);
  const what = count(verdict.records.length, language);
  return fill(WORDS[language][assuranceKey(weakest)], { what, when, validators: weakest.validators });
}

/**
 * Return the verdict's text line by line, as `moneo verify` prints it.
 * @param {Verdict} verdict
 * @param {Language} language
 * @returns {string[]}
 */
export function sentences(verdict, language) {
  const words = WORDS[language];
  const lines = [headline(verdict, language)];
  if (verdict.proven) lines.push(...proven(verdict, language));
  else if (verdict.failure) {
    lines.push(ADVICE[language][verdict.failure.kind]);
    lines.push(fill(words.detail, { number: verdict.failure.step, detail: verdict.failure.detail }));
  }
  return [...lines, fill(words.fingerprint, { fingerprint: verdict.fingerprint })];
}

/**
 * @param {Verdict} verdict
 * @param {Language} language
 * @returns {string[]}
 */
function proven(verdict, language) {
  const words = WORDS[language];
  const why = words[`${verdict.assurance}-why`];
  const others = told(verdict, language, true);
  return [
    ...(why ? [why] : []),
    ...(verdict.expect_code ? [fill(words.code, { code: verdict.expect_code })] : []),
    ...told(verdict, language, false),
    ...(others.length ? [words.others, ...others] : []),
    ...generalNotes(verdict, language),
    words['not-proven'],
  ];
}

/**
 * Return the lines of the diary, or of what others say, in the order of time.
 * @param {Verdict} verdict
 * @param {Language} language
 * @param {boolean} thirdParty
 * @returns {string[]}
 */
function told(verdict, language, thirdParty) {
  const indexes = inOrder(verdict, thirdParty);
  const detailed = verdict.records.length <= MAX_DETAILED_RECORDS;
  const lines = indexes.slice(0, MAX_SHOWN_RECORDS).flatMap((index) => {
    const one = verdict.records[index];
    const said = [title(one, language), writer(one, language), ...remarks(verdict, index, language)];
    return ['• ' + said.join('; '), ...(detailed ? details(one, language) : [])];
  });
  const left = indexes.length - MAX_SHOWN_RECORDS;
  return left > 0 ? [...lines, fill(WORDS[language].more, { n: left })] : lines;
}

/**
 * Return the indexes of the records of the diary, or of what others say, in the order of time.
 * @param {Verdict} verdict
 * @param {boolean} thirdParty
 * @returns {number[]}
 */
export function inOrder(verdict, thirdParty) {
  const { records } = verdict;
  return records
    .map((_, index) => index)
    .filter((index) => (records[index].statement === 'third-party') === thirdParty)
    .sort((a, b) => happened(records[a]) - happened(records[b]) || records[a].claimed - records[b].claimed);
}

/**
 * Return what else a reader should know of one record: whose it is, what replaced it, and its notes.
 * @param {Verdict} verdict
 * @param {number} index
 * @param {Language} language
 * @returns {string[]}
 */
export function remarks(verdict, index, language) {
  const words = WORDS[language];
  const one = verdict.records[index];
  const notes = verdict.notes.filter((note) => note.record === index && note.key !== 'operator');
  return [
    ...[one.level, one.statement].map((key) => (key ? words[key] : '')),
    ...one.superseded_by.slice(-1).map((id) => fill(words.superseded, { id })),
    ...notes.map((note) => fill(words[note.key] ?? '', { days: note.days })),
  ].filter(Boolean);
}

/**
 * Return who wrote a record, and whether the province did it for them.
 * @param {ProvenRecord} one
 * @param {Language} language
 * @returns {string}
 */
export function writer(one, language) {
  const words = WORDS[language];
  const id = one.issuer.slice(one.issuer.lastIndexOf('/') + 1);
  return fill(words[one.custody], { name: printable(one.issuer_name) || fill(words.unnamed, { id }) });
}

/**
 * Return whose log a record stands in.
 * @param {ProvenRecord} one
 * @param {Language} language
 * @returns {string}
 */
export function log(one, language) {
  const words = WORDS[language];
  return one.province
    ? fill(words.province, { name: printable(one.province) })
    : fill(words['unknown-province'], { log: one.log });
}

/**
 * Return the notes on the whole verdict: the age of evidence and trust file.
 * @param {Verdict} verdict
 * @param {Language} language
 * @returns {string[]}
 */
export function generalNotes(verdict, language) {
  const words = WORDS[language];
  const when = moment(latest(verdict), language, true);
  return verdict.notes
    .filter((note) => note.record === null && words[note.key])
    .map((note) => fill(words[note.key], { days: note.days, when }));
}

/**
 * Return POSIX seconds as minutes of Vietnam's time, rounded up if asked.
 * @param {number} seconds
 * @param {Language} language
 * @param {boolean} [up]
 * @returns {string}
 */
export function moment(seconds, language, up = false) {
  const local = (up ? Math.ceil(seconds / 60) : Math.floor(seconds / 60)) * 60 + VIETNAM_OFFSET;
  if (local < FIRST || local > LAST) return String(seconds);
  const [, year, month, day, clock] = /^(.{4})-(..)-(..)T(.{5})/.exec(new Date(local * 1000).toISOString()) ?? [];
  return language === 'vi'
    ? `${clock} ${day}/${month}/${year} (giờ Việt Nam)`
    : `${year}-${month}-${day} ${clock} (UTC+7)`;
}

/**
 * Replace what a terminal or a page would obey rather than show, and what turns the direction of text.
 * @param {string} text
 * @returns {string}
 */
export function printable(text) {
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, '\ufffd');
}

/**
 * Put values into a sentence's {places}.
 * @param {string} sentence
 * @param {Record<string, unknown>} values
 * @returns {string}
 */
export function fill(sentence, values) {
  return sentence.replace(/\{([a-z]+)\}/g, (_, name) => String(values[name]));
}

/**
 * Return the moment by which every record of a verdict existed.
 * @param {Verdict} verdict
 * @returns {number}
 */
export function latest(verdict) {
  return Math.max(...verdict.records.map((one) => one.when));
}

/** @param {ProvenRecord} weakest */
function assuranceKey(weakest) {
  if (weakest.validators === 1 && weakest.assurance === 'past-era') return 'past-era-one';
  if (weakest.validators > 1 && weakest.assurance === 'one-validator') return 'one-decides';
  return weakest.assurance;
}

/**
 * @param {number} number
 * @param {Language} language
 */
function count(number, language) {
  return number === 1 && language === 'en' ? '1 record' : fill(WORDS[language].records, { n: number });
}

/** @param {ProvenRecord} one */
function happened(one) {
  return one.event_time ?? one.claimed;
}

/**
 * Return the last part of a record's step: its tracking event, else its business step, else its type.
 * @param {ProvenRecord} one
 * @returns {string}
 */
export function step(one) {
  const event = one.fields['moneo:cte'];
  const said = typeof event === 'string' ? event : one.fields.bizStep;
  if (typeof said !== 'string') return one.type;
  return said.slice(said.lastIndexOf(':') + 1).replace(/^[^]*BizStep-/, '');
}

/**
 * @param {ProvenRecord} one
 * @param {Language} language
 */
function title(one, language) {
  const name = step(one);
  const product = one.fields['moneo:product'];
  const what = (STEPS[language][name] ?? printable(name)) + (typeof product === 'string' ? ` – ${value(product)}` : '');
  return one.event_time === null ? what : `${moment(one.event_time, language)} ${what}`;
}

/**
 * @param {ProvenRecord} one
 * @param {Language} language
 */
function details(one, language) {
  const words = WORDS[language];
  const by = fill(words.by, { when: moment(one.when, language, true) });
  const claimed = fill(words.claimed, { when: moment(one.claimed, language) });
  return [
    `    ${log(one, language)}; ${by}; ${claimed}`,
    ...Object.entries(one.fields).map(([name, it]) => `    ${name}: ${value(it)}`),
    ...(one.hidden.length ? ['    ' + fill(words.hidden, { names: one.hidden.join(', ') })] : []),
  ];
}

/** @param {unknown} it */
function value(it) {
  const text = [...(typeof it === 'string' ? it : json(it))];
  return printable(text.length <= MAX_VALUE ? text.join('') : text.slice(0, MAX_VALUE - 1).join('') + '…');
}

/**
 * Write JSON with the spaces that Python puts between its parts.
 * @param {unknown} it
 * @returns {string}
 */
function json(it) {
  if (Array.isArray(it)) return `[${it.map(json).join(', ')}]`;
  if (it === null || typeof it !== 'object') return JSON.stringify(it);
  return `{${Object.entries(it).map(([name, part]) => `${JSON.stringify(name)}: ${json(part)}`).join(', ')}}`;
}
