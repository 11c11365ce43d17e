#!/usr/bin/env node
// A handler for `mode: persistent` in JavaScript: one line of JSON on stdin for each entry, one line of JSON back on fd 3. With
// `persistent: { window: 20 }` twenty entries are worked on at a time: replies may come in any order.
'use strict';
const fs = require('fs');
const readline = require('readline');

// What a job does. What it throws is a retry; what it gives back is kept for `result_ttl` as the entry's result (xackctl wait ID).
async function work(entry) {
	return undefined;
}

async function handle(line) {
	const entry = JSON.parse(line);
	const reply = { id: entry.id, status: 'ok' };
	try {
		reply.result = await work(entry); // undefined leaves it out
	} catch (error) {
		reply.status = 'retry';
		reply.reason = String(error);
	}
	fs.writeSync(3, JSON.stringify(reply) + '\n');
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', handle);
