/* The page's script, in three files: words and times here, charts.js, tables.js. All that comes from the log is shown as text
 * (textContent), never as HTML. */
'use strict';

let data = JSON.parse(document.getElementById('data').textContent);
let utc = true;

/* ---- words ---- */

/* What could hide, reorder or fake text is spelled out. */
function shown(text) {
	return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g,
		c => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

function number(n) {
	return n === null || n === undefined ? '–' : String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

function percent(part, whole) {
	const rate = whole ? 100 * part / whole : 0;
	return rate.toFixed(rate > 0 && rate < 1 ? 2 : 1) + ' %';
}

function duration(ms) {
	if (ms === null || ms === undefined)
		return '–';
	for (const [size, name, part, small] of [[86400e3, 'd', 3600e3, 'h'], [3600e3, 'h', 60e3, 'min'], [60e3, 'min', 1e3, 's']]) {
		if (ms >= size) {
			const rest = Math.floor(ms % size / part);
			return Math.floor(ms / size) + ' ' + name + (rest ? ' ' + rest + ' ' + small : '');
		}
	}
	return ms >= 1000 ? String(Number((ms / 1000).toPrecision(3))) + ' s' : Number(ms.toPrecision(3)) + ' ms';
}

function two(n) {
	return String(n).padStart(2, '0');
}

/* {day, clock} of a moment, as the reader wants it. */
function moment(ms) {
	const t = new Date(utc ? ms : ms - new Date(ms).getTimezoneOffset() * 60000);
	return {
		day: t.getUTCFullYear() + '-' + two(t.getUTCMonth() + 1) + '-' + two(t.getUTCDate()),
		clock: two(t.getUTCHours()) + ':' + two(t.getUTCMinutes()) + ':' + two(t.getUTCSeconds()),
	};
}

function time(ms) {
	if (ms === null || ms === undefined)
		return '–';
	const t = moment(ms);
	return t.day + ' ' + t.clock + (utc ? 'Z' : '');
}

function element(name, attributes, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {}))
		made.setAttribute(key, value);
	made.append(...children);
	return made;
}

/* ---- what stands above and below ---- */

function range() {
	if (data.first_ms === null)
		return 'nothing happened';
	const from = moment(data.first_ms), to = moment(data.last_ms);
	return from.day + ' ' + from.clock + ' – ' + (from.day === to.day ? '' : to.day + ' ') + to.clock + (utc ? ' UTC' : ' local time') +
		' (' + duration(data.last_ms - data.first_ms) + ')';
}

function showWords() {
	const hosts = data.hosts.length === 1 ? 'host ' + data.hosts[0].host : data.hosts.length + ' hosts';
	const job = data.only_job ? ' · only job ' + data.only_job : '';
	const left = [[data.malformed, 'lines that are no JSON'], [data.foreign, 'lines that are no events']].filter(([n]) => n > 0);
	document.getElementById('about').textContent = shown(range() + ' · ' + hosts + job);
	document.getElementById('made').textContent = shown(number(data.events) + ' events out of ' + data.source + ', read ' + time(data.made_ms) +
		' by xackctl ' + data.version + (left.length ? '; left out: ' + left.map(([n, what]) => number(n) + ' ' + what).join(', ') : ''));
	document.title = 'xackd report' + (data.only_job ? ': ' + shown(data.only_job) : '');
}

function showFigures() {
	const list = document.getElementById('figure-list');
	list.replaceChildren(...data.figures.map(f => {
		const value = element('b'), note = element('small'), label = element('dt');
		label.textContent = f.label;
		value.textContent = f.value;
		note.textContent = f.note || '';
		return element('div', { class: 'figure ' + (f.tone || '') }, label, element('dd', {}, value, note));
	}));
}

/* ---- live ---- */

let shownTag = null;

async function ask() {
	try {
		const answer = await fetch('data.json', { cache: 'no-store', headers: shownTag ? { 'If-None-Match': shownTag } : {} });
		if (answer.status === 200) {
			data = await answer.json();
			shownTag = answer.headers.get('ETag');
			showAll();
		}
		document.body.classList.toggle('stale', !answer.ok && answer.status !== 304);
	} catch (error) {
		document.body.classList.add('stale');
	}
	setTimeout(ask, 5000);
}

function showAll() {
	showWords();
	showFigures();
	showCharts();
	showTables();
}

document.addEventListener('DOMContentLoaded', () => {
	const zone = document.getElementById('zone');
	zone.hidden = false;
	zone.setAttribute('aria-pressed', 'false');
	zone.title = 'Times in UTC; press for the time of this computer';
	zone.addEventListener('click', () => {
		utc = !utc;
		zone.textContent = utc ? 'UTC' : 'Local time';
		zone.setAttribute('aria-pressed', String(!utc));
		showAll();
	});
	showAll();
	if (document.documentElement.dataset.live === 'yes')
		setTimeout(ask, 2000);
});
