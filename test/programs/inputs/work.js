// SPDX-License-Identifier: MIT
// Objects and maps for the collector, and buffers, compression and hashing for malloc.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');

const hash = crypto.createHash('sha256');
for (let turn = 0; turn < Number(process.argv[2]); turn++) {
  const records = [];
  for (let n = 0; n < 8000; n++) {
    records.push({ id: n, name: `record ${n * 7919 % 1013}`, list: [n, n % 7, `${n}`] });
  }
  const text = JSON.stringify(records);
  const groups = new Map();
  for (const record of JSON.parse(text)) {
    if (!groups.has(record.name)) groups.set(record.name, []);
    groups.get(record.name).push(record);
  }
  hash.update(JSON.stringify([...groups.entries()].sort((a, b) => (a[0] < b[0] ? -1 : 1))));
  for (let size = 1; size < 1500; size++) {
    const buffer = Buffer.alloc(size * 37, size);
    hash.update(crypto.createHash('md5').update(buffer).digest());
  }
  hash.update(zlib.gunzipSync(zlib.gzipSync(Buffer.from(text))));
}
console.log(hash.digest('hex'));
