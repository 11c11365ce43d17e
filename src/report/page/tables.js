/* The tables: sorted by a click or a key on a column's head, filtered by what is typed. */
'use strict';

const text = key => ({ key, value: row => row[key], show: value => value === null || value === undefined ? '' : shown(value) });
const count = key => ({ key, number: true, value: row => row[key], show: value => value ? number(value) : value === 0 ? '0' : '–' });
const stampColumn = key => ({ key, time: true, value: row => row[key], show: time });
const span_ = (key, value) => ({ key, number: true, value: value || (row => row[key]), show: duration });

const tables = {
	jobs: {
		empty: 'No job ran.', sort: 'failed', rows: () => data.jobs, columns: {
			'Job': text('job'),
			'Succeeded': count('succeeded'), 'Failed': count('failed'),
			'Failure rate': { key: 'rate', number: true, value: r => r.failed + r.succeeded ? r.failed / (r.failed + r.succeeded) : 0, show: v => percent(v, 1) },
			'Retried': count('retried'), 'Later': count('later'), 'Dead': count('dead'), 'Recovered': count('recovered'),
			'Wait p50': span_('wait_p50', r => r.wait_ms.p50), 'p95': span_('wait_p95', r => r.wait_ms.p95),
			'Run p50': span_('run_p50', r => r.run_ms.p50), 'p95 ': span_('run_p95', r => r.run_ms.p95), 'max': span_('run_max', r => r.run_ms.max),
			'Last failure': text('last_failure'),
		},
	},
	reasons: {
		empty: 'Nothing failed.', sort: 'failed', rows: () => data.reasons, columns: {
			'Reason': text('reason'), 'In words': text('detail'), 'Failed runs': count('failed'), 'Dead letters': count('dead'),
			'Last': stampColumn('last_ms'), 'Last job': text('last_job'),
		},
	},
	dead: {
		empty: 'No dead letter.', sort: 'at_ms', rows: () => data.dead, all: () => data.counts.dead, columns: {
			'When': stampColumn('at_ms'), 'Job': text('job'), 'Entry': text('id'), 'Dead letter': text('dead_id'), 'Reason': text('reason'),
			'In words': text('detail'), 'Attempts': count('attempts'), 'Host': text('host'), 'End of stderr': Object.assign(text('stderr'), { block: true }),
		},
	},
	slowest: {
		empty: 'Nothing ran.', sort: 'run_ms', rows: () => data.slowest, columns: {
			'Ran': span_('run_ms'), 'Waited': span_('wait_ms'), 'Ended': stampColumn('at_ms'), 'Job': text('job'), 'Entry': text('id'), 'Attempt': count('attempt'),
			'Ended as': { key: 'event', value: r => r.event, show: v => shown(v).replace('job.', '') }, 'Host': text('host'),
		},
	},
	waited: {
		empty: 'Nothing waited.', sort: 'wait_ms', rows: () => data.waited, columns: {
			'Waited': span_('wait_ms'), 'Ran': span_('run_ms'), 'Ended': stampColumn('at_ms'), 'Job': text('job'), 'Entry': text('id'), 'Attempt': count('attempt'), 'Host': text('host'),
		},
	},
	recovered: {
		empty: 'No run was lost.', sort: 'at_ms', rows: () => data.recovered, all: () => data.counts.recovered + data.counts.lease_lost + data.counts.stale_ack, columns: {
			'When': stampColumn('at_ms'), 'What': { key: 'event', value: r => r.event, show: v => shown(v).replace('job.', '').replace('_', ' ') },
			'Why': text('why'), 'Job': text('job'), 'Entry': text('id'), 'Attempt': count('attempt'),
			'From or to': { key: 'from', value: r => r.from || r.owner, show: v => v ? shown(v) : '' }, 'Silent for': span_('idle_ms'), 'Host': text('host'),
		},
	},
	outages: {
		empty: 'Redis was always there.', sort: 'from_ms', rows: () => data.outages, all: () => data.counts.redis_lost, columns: {
			'From': stampColumn('from_ms'), 'To': { key: 'to_ms', time: true, value: r => r.to_ms, show: v => v === null ? 'not yet back' : time(v) },
			'Lasted': span_('lasted', r => (r.to_ms === null ? data.last_ms : r.to_ms) - r.from_ms), 'Host': text('host'), 'Why': text('why'),
		},
	},
	marks: {
		empty: 'Nothing happened to daemons and workers.', sort: 'at_ms', rows: () => data.marks, columns: {
			'When': stampColumn('at_ms'), 'What': text('event'), 'Host': text('host'), 'Job': text('job'), 'Worker': text('worker'), 'Version': text('version'),
			'In words': { key: 'why', value: r => [r.why, r.detail, r.error, r.errors, r.advice, r.state, r.signal >= 0 ? 'signal ' + r.signal : '', r.status >= 0 ? 'exit ' + r.status : ''].filter(Boolean).join('; '), show: shown },
		},
	},
	hosts: {
		empty: 'No host.', sort: 'last_ms', rows: () => data.hosts, columns: {
			'Host': text('host'), 'Version': text('version'), 'First event': stampColumn('first_ms'), 'Last event': stampColumn('last_ms'),
		},
	},
};

const PAGE = 25;

/* Absent values come last, whichever way it is sorted. */
function sorted(rows, column, down) {
	return rows.map((row, i) => [column.value(row), i, row]).sort(([a, i], [b, j]) => {
		const none = [a, b].map(v => v === null || v === undefined || v === '');
		if (none[0] || none[1])
			return none[0] - none[1] || i - j;
		const order = typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true });
		return (down ? -order : order) || i - j;
	}).map(([, , row]) => row);
}

function cell(column, row) {
	const made = element('td', { class: column.number ? 'number' : column.time ? 'time' : '' });
	const value = column.show(column.value(row));
	if (column.block && value) {
		const body = element('pre', { tabindex: '0' });
		body.textContent = value;
		made.append(body);
	} else {
		made.textContent = value;
	}
	return made;
}

/* What is shown of a table: the rows that fit the filter, in order, the first page of them. */
function fill(table) {
	const { spec, state, parts } = table;
	const columns = Object.values(spec.columns).filter(c => !state.unused.has(c));
	const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
	const fits = row => {
		const line = columns.map(c => c.show(c.value(row))).join('\n').toLowerCase();
		return words.every(word => line.includes(word));
	};
	const by = columns.find(c => c.key === state.sort) || columns[0];
	const rows = sorted(spec.rows().filter(fits), by, state.down);
	const part = rows.slice(0, state.most);
	parts.body.replaceChildren(...part.map(row => element('tr', {}, ...columns.map(c => cell(c, row)))));
	parts.heads.forEach((head, i) => head.setAttribute('aria-sort', columns[i] === by ? state.down ? 'descending' : 'ascending' : 'none'));
	const all = spec.rows().length, total = spec.all ? spec.all() : all;
	parts.count.textContent = rows.length < all ? number(rows.length) + ' of ' + number(all) : total > all ? 'the last ' + number(all) + ' of ' + number(total) : number(all);
	parts.more.hidden = rows.length <= part.length;
	parts.more.textContent = 'Show all ' + number(rows.length);
}

/* A column in which nothing stands is left out. */
function unusedColumns(spec) {
	const rows = spec.rows();
	return new Set(Object.values(spec.columns).filter(c => !c.number && !c.time && rows.every(r => c.show(c.value(r)) === '')));
}

function head(table, title, column) {
	const button = element('button', { type: 'button' });
	button.textContent = title.trim();
	button.addEventListener('click', () => {
		const state = table.state;
		state.down = state.sort === column.key ? !state.down : Boolean(column.number || column.time);
		state.sort = column.key;
		fill(table);
	});
	return element('th', { scope: 'col', class: column.number ? 'number' : '' }, button);
}

function build(place, name, kept) {
	const spec = tables[name];
	const table = { spec, state: Object.assign(kept || { sort: spec.sort, down: true, filter: '', most: PAGE }, { unused: unusedColumns(spec) }), parts: {} };
	const title = element('h3', {}), parts = table.parts;
	title.textContent = place.dataset.title;
	if (spec.rows().length === 0) {
		const empty = element('p', { class: 'empty' });
		empty.textContent = spec.empty;
		place.replaceChildren(title, empty);
		return table;
	}
	parts.count = element('span', { class: 'count', 'aria-live': 'polite' });
	parts.filter = element('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter: ' + place.dataset.title, autocomplete: 'off', spellcheck: 'false' });
	parts.filter.value = table.state.filter;
	parts.filter.addEventListener('input', () => {
		table.state.filter = parts.filter.value;
		fill(table);
	});
	parts.heads = Object.entries(spec.columns).filter(([, c]) => !table.state.unused.has(c)).map(([t, c]) => head(table, t, c));
	parts.body = element('tbody');
	parts.more = element('button', { type: 'button', class: 'more' });
	parts.more.addEventListener('click', () => {
		table.state.most = Infinity;
		fill(table);
	});
	place.replaceChildren(element('div', { class: 'bar' }, title, parts.count, parts.filter),
		element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': place.dataset.title },
			element('table', {}, element('thead', {}, element('tr', {}, ...parts.heads)), parts.body)), parts.more);
	fill(table);
	return table;
}

const built = {};

/* Again with other data or another zone: what the reader sorted and filtered by stays, and so does the cursor. */
function showTables() {
	for (const place of document.querySelectorAll('[data-table]')) {
		const name = place.dataset.table, typing = built[name] && built[name].parts.filter && document.activeElement === built[name].parts.filter;
		built[name] = build(place, name, built[name] && built[name].state);
		if (typing && built[name].parts.filter)
			built[name].parts.filter.focus();
	}
}

/* On paper there is no button for the rest, and nothing scrolls. */
addEventListener('beforeprint', () => {
	for (const chart of Object.values(charts))
		chart.resize();
});
