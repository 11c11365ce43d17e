#!/usr/bin/env node
// A handler for `mode: persistent` in JavaScript: one line of JSON on stdin for each entry, one line of JSON back on fd 3. With
// `persistent: { window: 20 }` twenty entries are worked on at a time: replies may come in any order.
'use strict';
const fs = require('fs');
const readline = require('readline');

// What a job does. What it throws is a retry.
async function work(entry) {
	return entry.fields;
}

async function handle(line) {
	const entry = JSON.parse(line);
	const reply = { id: entry.id, status: 'ok' };
	try {
		await work(entry);
	} catch (error) {
		reply.status = 'retry';
		reply.reason = String(error);
	}
	fs.writeSync(3, JSON.stringify(reply) + '\n');
}

readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', handle);
