-- cron_fire: a slot of a schedule becomes an entry, once over all hosts: only if the last slot is still the one that the caller knows.
-- KEYS: stream, cron
-- ARGV: name, last slot that the caller knows, the slot (Unix ms), how late it may be at most in ms (-1: any time), names and values of the entry
-- Answers: {code, last slot, now, id}; code 0 fired, 1 another host was quicker (or the row was changed): nothing was done, 2 not yet: nothing was done,
--          3 too late: it counts as done, without an entry
-- A row that is gone, or is no number, stands in nobody's way: what is due is run rather than lost.
-- Crash: XADD is the first write, full memory refuses it before anything has changed; keys of a wrong type are refused before. Sent again after a lost
-- answer it answers 1.
redis.call('XLEN', KEYS[1])
local row = redis.call('HGET', KEYS[2], ARGV[1])
local last = row and #row < 16 and string.match(row, '^%d+$') and tonumber(row)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
if last and text(last) ~= ARGV[2] then return {1, text(last), text(now), ''} end
local slot, late = tonumber(ARGV[3]), tonumber(ARGV[4])
if now < slot then return {2, ARGV[2], text(now), ''} end
if late >= 0 and now - slot > late then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  return {3, ARGV[3], text(now), ''}
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return {0, ARGV[3], text(now), id}
