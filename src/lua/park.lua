-- park: an attempt of mine is over and is to be repeated: the entry stays pending, under the parking consumer, until it is due.
-- With counted = 1 the delivery is given back (it was no attempt): the delivery number stays, since it is a fencing token, and
-- `given` goes up.
-- KEYS: stream, due, given, note
-- ARGV: group, consumer, id, delivery, delay in ms, note ('' = leave the old one), give back 0|1, name of the parking consumer
-- Answers: {code, owner, delivery, due, '', 0, now}; code 0 parked, 1 owner has it (nothing was done), 2 not pending,
--          3 the entry was deleted (nothing was done)
-- Crash: the no-op ZREM lets what follows pass when memory is full, and it and the reads refuse keys of a wrong type before
-- anything is changed. Sent again after a lost answer it answers 1 (owner: the parking consumer) and changes nothing.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not p then return {2, '', 0, '0', '', 0, text(now)} end
if p[2] ~= ARGV[2] or p[4] ~= tonumber(ARGV[4]) then return {1, p[2], p[4], '0', '', 0, text(now)} end
if #redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3]) == 0 then return {3, '', 0, '0', '', 0, text(now)} end
local given = tonumber(redis.call('HGET', KEYS[3], ARGV[3]) or 0) or 0
redis.call('HEXISTS', KEYS[4], ARGV[3])

redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[8], 0, ARGV[3], 'JUSTID')
local due = text(now + tonumber(ARGV[5]))
redis.call('ZADD', KEYS[2], due, ARGV[3])
if ARGV[7] == '1' then given = redis.call('HINCRBY', KEYS[3], ARGV[3], 1) end
if ARGV[6] ~= '' then
  local inner = string.sub(ARGV[6], 2, -2)
  redis.call('HSET', KEYS[4], ARGV[3], '{' .. inner .. (inner == '' and '' or ',') .. '"at_ms":' .. text(now) ..
    ',"delivery":' .. ARGV[4] .. ',"given":' .. text(given) .. '}')
end
return {0, '', 0, due, '', 0, text(now)}
