/* The charts: Chart.js with what it lacks, bands and marks over time. */
'use strict';

const charts = {};

/* Colours are the style's, so that light, dark and print agree. */
function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
}

function faint(name, alpha) {
	return colour(name) + Math.round(alpha * 255).toString(16).padStart(2, '0');
}

/* ---- time as an axis ---- */

/* Midnight is told as the day that begins. */
function stamp(ms, range) {
	const t = moment(ms);
	if (range >= 366 * 86400e3)
		return t.day;
	if (t.clock === '00:00:00')
		return t.day.slice(5);
	return range < 600e3 ? t.clock : t.clock.slice(0, 5);
}

function timeAxis(from, to) {
	return {
		type: 'linear', min: from, max: to, offset: false,
		grid: { color: colour('line'), drawTicks: false },
		border: { color: colour('line') },
		ticks: {
			color: colour('soft'), maxRotation: 0, autoSkipPadding: 24, padding: 6,
			callback: value => stamp(value, to - from),
		},
		afterBuildTicks: axis => { axis.ticks = niceTicks(from, to, axis.width || 600).map(value => ({ value })); },
	};
}

/* Round times, about one in a hundred pixels. */
function niceTicks(from, to, pixels) {
	const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];
	const wanted = (to - from) / Math.max(2, pixels / 100) / 1000;
	const step = (steps.find(s => s >= wanted) || steps[steps.length - 1]) * 1000;
	const shift = utc ? 0 : new Date(from).getTimezoneOffset() * 60000;
	const ticks = [];
	for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to && ticks.length < 100; at += step)
		ticks.push(at);
	return ticks;
}

/* ---- bands and marks ---- */

const happened = {
	id: 'happened',
	beforeDatasetsDraw(chart) {
		const x = chart.scales.x, area = chart.chartArea, context = chart.ctx;
		if (!chart.options.plugins.happened.over)
			return;
		context.save();
		context.fillStyle = faint('band', 0.28);
		for (const outage of data.outages) {
			const from = Math.max(area.left, x.getPixelForValue(outage.from_ms));
			const to = Math.min(area.right, x.getPixelForValue(outage.to_ms === null ? data.last_ms : outage.to_ms));
			if (to >= area.left && from <= area.right)
				context.fillRect(from, area.top, Math.max(2, to - from), area.bottom - area.top);
		}
		context.strokeStyle = colour('mark');
		context.setLineDash([4, 3]);
		for (const mark of data.marks.filter(isMark)) {
			const at = Math.round(x.getPixelForValue(mark.at_ms)) + 0.5;
			if (at < area.left || at > area.right + 1)
				continue;
			context.beginPath();
			context.moveTo(at, area.top);
			context.lineTo(at, area.bottom);
			context.stroke();
		}
		context.restore();
	},
};

function isMark(mark) {
	return ['daemon.ready', 'daemon.reloaded', 'daemon.stopped', 'daemon.failed'].includes(mark.event);
}

/* What happened near a moment, as lines of a tooltip. */
function happenedAt(from, to) {
	const lines = data.outages.filter(o => o.from_ms < to && (o.to_ms === null || o.to_ms >= from)).map(() => 'Redis was away');
	return [...new Set(lines.concat(data.marks.filter(m => isMark(m) && m.at_ms >= from && m.at_ms < to).map(m => shown(m.event + ' ' + (m.host || '')))))].slice(0, 6);
}

/* ---- charts ---- */

function base(over) {
	return {
		responsive: true, maintainAspectRatio: false, animation: false, normalized: true, parsing: false,
		interaction: { mode: 'index', intersect: false, axis: 'x' },
		plugins: {
			happened: { over },
			legend: { position: 'top', align: 'end', labels: { color: colour('text'), boxWidth: 12, boxHeight: 12, usePointStyle: false } },
			tooltip: { backgroundColor: colour('tip'), titleColor: colour('tip-text'), bodyColor: colour('tip-text'), footerColor: colour('tip-text'), padding: 10 },
		},
	};
}

function valueAxis(more) {
	return Object.assign({
		beginAtZero: true,
		grid: { color: colour('line'), drawTicks: false },
		ticks: { color: colour('soft'), padding: 8, maxTicksLimit: 6, callback: value => Number.isInteger(value) ? number(value) : value },
	}, more);
}

/* Milliseconds over decades, told as durations. */
function durationAxis(values) {
	const low = Math.min(...values.filter(v => v > 0), 10), high = Math.max(...values, 100);
	const ticks = [1, 10, 100, 1e3, 10e3, 60e3, 600e3, 3600e3, 6 * 3600e3, 86400e3, 7 * 86400e3, 30 * 86400e3];
	return valueAxis({
		type: 'logarithmic', beginAtZero: false, min: Math.max(1, Math.pow(10, Math.floor(Math.log10(low)))), max: high * 1.3,
		afterBuildTicks: axis => { axis.ticks = ticks.filter(v => v >= axis.min && v <= axis.max).map(value => ({ value })); },
		ticks: { color: colour('soft'), padding: 8, callback: value => duration(value) },
	});
}

function draw(name, config) {
	const canvas = document.getElementById('chart-' + name);
	if (charts[name])
		charts[name].destroy();
	Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
	charts[name] = new Chart(canvas, Object.assign({ plugins: [happened] }, config));
}

/* Each bucket's middle, and where all begin and end. */
function columns(series) {
	const n = series.buckets === undefined ? series.retries.length : series.buckets;
	const at = Array.from({ length: n }, (_, i) => series.from_ms + (i + 0.5) * series.width_ms);
	return { at, from: series.from_ms, to: series.from_ms + n * series.width_ms, width: series.width_ms };
}

function points(at, values) {
	return values.map((y, i) => ({ x: at[i], y }));
}

/* A logarithmic axis has no zero. */
function loggable(values) {
	return values.map(v => v === null ? null : Math.max(v, 1));
}

function span(c) {
	return {
		title: items => {
			if (!items.length)
				return '';
			const from = items[0].raw.x - c.width / 2;
			return time(from) + ' + ' + duration(c.width);
		},
		footer: items => items.length ? happenedAt(items[0].raw.x - c.width / 2, items[0].raw.x + c.width / 2) : [],
	};
}

function area(label, name, values, at) {
	return { label, data: points(at, values), backgroundColor: faint(name, 0.85), borderWidth: 0, barPercentage: 1, categoryPercentage: 1, stack: 'runs', grouped: false };
}

function line(label, name, values, at, fill) {
	const alone = values.filter(v => v !== null).length < 2;
	return { label, data: points(at, values), borderColor: colour(name), backgroundColor: fill ? faint(name, 0.18) : colour(name), fill: fill ? 'origin' : false,
		borderWidth: 1.75, pointRadius: alone ? 3 : 0, pointHitRadius: 8, tension: 0, spanGaps: true };
}

function showRuns(s, c) {
	const options = base(true);
	options.scales = { x: Object.assign(timeAxis(c.from, c.to), { stacked: true }), y: valueAxis({ stacked: true }) };
	options.plugins.tooltip.callbacks = span(c);
	options.plugins.tooltip.filter = item => item.raw.y > 0;
	draw('runs', { type: 'bar', options, data: { datasets: [
		area('succeeded', 'good', s.succeeded, c.at), area('failed, tried again', 'warn', s.failed.map((n, i) => Math.max(0, n - s.dead[i])), c.at), area('dead letters', 'bad', s.dead, c.at),
	] } });
}

function showRate(s, c) {
	const rate = s.failed.map((f, i) => f + s.succeeded[i] ? 100 * f / (f + s.succeeded[i]) : null);
	const options = base(true);
	options.scales = { x: timeAxis(c.from, c.to), y: valueAxis({ suggestedMax: 5, max: Math.max(...rate) > 50 ? 100 : undefined }) };
	options.scales.y.ticks.callback = value => value + ' %';
	options.plugins.legend.display = false;
	options.plugins.tooltip.callbacks = Object.assign(span(c), { label: item => ' ' + Number(item.raw.y.toPrecision(3)) + ' % of runs failed' });
	draw('rate', { type: 'line', options, data: { datasets: [line('failure rate', 'warn', rate, c.at, true)] } });
}

function showTimes(name, s, c) {
	const options = base(true);
	const all = ['p50', 'p95', 'p99', 'max'].map(p => loggable(s[name + '_' + p]));
	options.scales = { x: timeAxis(c.from, c.to), y: durationAxis(all.flat().filter(v => v !== null)) };
	options.plugins.tooltip.callbacks = Object.assign(span(c), { label: item => ' ' + item.dataset.label + ' ' + duration(s[name + '_' + item.dataset.key][item.dataIndex]) });
	draw(name, { type: 'line', options, data: { datasets: ['p50', 'p95', 'p99', 'max'].map((p, i) =>
		Object.assign(line(p === 'p50' ? 'median' : p, ['p50', 'p95', 'p99', 'max'][i], all[i], c.at, false), { key: p, borderDash: p === 'max' ? [3, 3] : [] })) } });
}

function showDue() {
	const due = data.due, c = columns(due);
	const options = base(true);
	const from = data.series.from_ms === null ? c.from : Math.min(data.series.from_ms, c.from === null ? Infinity : c.from);
	const to = due.retries.length ? Math.max(c.to, data.last_ms) : data.last_ms;
	options.scales = { x: timeAxis(from, to), y: valueAxis({}) };
	options.plugins.legend.display = false;
	options.plugins.tooltip.callbacks = Object.assign(span(c), { label: item => ' ' + number(item.raw.y) + ' due' + (item.raw.x > data.last_ms ? ', still to come' : '') });
	const bars = area('due', 'due', due.retries, c.at);
	bars.backgroundColor = c.at.map(at => at - c.width / 2 > data.last_ms ? faint('due', 0.5) : faint('due', 0.9));
	draw('due', { type: 'bar', options, data: { datasets: [bars] } });
}

function showAttempts() {
	const rows = data.attempts, last = 20;
	const options = base(false);
	options.parsing = true;
	const most = Math.max(...rows.map(r => Math.max(r.succeeded, r.dead)), 10);
	options.scales = {
		x: { stacked: false, grid: { display: false }, ticks: { color: colour('soft') }, title: { display: true, text: 'attempt', color: colour('soft') } },
		y: valueAxis({ type: 'logarithmic', min: 0.5, max: Math.pow(10, Math.ceil(Math.log10(most))), beginAtZero: false,
			afterBuildTicks: axis => { axis.ticks = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9].filter(v => v <= axis.max).map(value => ({ value })); } }),
	};
	options.plugins.tooltip.callbacks = { title: items => 'on attempt ' + items[0].label };
	draw('attempts', { type: 'bar', options, data: {
		labels: rows.map(r => r.attempt === last ? last + '+' : String(r.attempt)),
		datasets: [{ label: 'succeeded', data: rows.map(r => r.succeeded || null), backgroundColor: faint('good', 0.85) },
			{ label: 'dead letter', data: rows.map(r => r.dead || null), backgroundColor: faint('bad', 0.85) }],
	} });
}

function reasonName(row) {
	return shown(row.detail || row.reason || 'other');
}

function showReasons() {
	const most = 12;
	const rows = [...data.reasons].sort((a, b) => b.failed + b.dead - a.failed - a.dead).slice(0, most);
	const options = base(false);
	options.parsing = true;
	options.indexAxis = 'y';
	options.interaction = { mode: 'index', intersect: false, axis: 'y' };
	options.scales = { x: valueAxis({}), y: { grid: { display: false }, ticks: { color: colour('text'), autoSkip: false, callback(value) {
		const text = this.getLabelForValue(value), room = this.chart.width < 500 ? 18 : 40;
		return text.length > room ? text.slice(0, room - 1) + '…' : text;
	} } } };
	document.getElementById('chart-reasons').parentNode.style.height = (70 + 30 * Math.max(1, rows.length)) + 'px';
	draw('reasons', { type: 'bar', options, data: {
		labels: rows.map(reasonName),
		datasets: [{ label: 'failed runs', data: rows.map(r => r.failed), backgroundColor: faint('warn', 0.85), maxBarThickness: 18 },
			{ label: 'dead letters', data: rows.map(r => r.dead), backgroundColor: faint('bad', 0.85), maxBarThickness: 18 }],
	} });
}

function showCharts() {
	const s = data.series, c = columns(s);
	const units = { runs: 'in each ' + duration(c.width), rate: 'failed runs of all, in each ' + duration(c.width),
		due: number(data.due.to_come) + ' of them after the last event, in each ' + duration(data.due.width_ms) };
	for (const unit of document.querySelectorAll('[data-unit]'))
		unit.textContent = units[unit.dataset.unit];
	document.getElementById('bands').hidden = data.outages.length === 0 && !data.marks.some(isMark);
	showRuns(s, c);
	showRate(s, c);
	showTimes('wait', s, c);
	showTimes('run', s, c);
	showDue();
	showAttempts();
	showReasons();
}

/* Another colour scheme, or paper: the colours are read anew. */
for (const query of ['(prefers-color-scheme: dark)', 'print'])
	matchMedia(query).addEventListener('change', () => showCharts());
