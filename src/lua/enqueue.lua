-- enqueue: an entry is added, now or later, and where a key says so once only. For producers, too: redis-cli --eval, EVAL.
-- KEYS: stream S, xackd:{T}:S:later, xackd:{T}:S:later:data, and for once: xackd:{T}:S:once:KEY (T: the text in S's braces, or S)
-- ARGV: 'in' or 'at', ms from now or Unix ms, for how many ms the key holds ('' = an hour, and until the entry is due at least),
--       name, value, ...
-- Answers: {0 added | 1 there is one already, nothing was done, id, due ('' = it is in the stream), now}
-- What is due now is added to the stream at once. Else the ID is the due time and, in µs, the time of this call: no entry of a stream and
-- no dead letter has such a one. The row of later:data is MessagePack: an array of names and values in turn, each a str (of any
-- bytes; Redis knows no bin); a map may stand before them, with the KEY as `once`, whose value becomes the ID that the entry gets when it is due.
-- Crash: the first write is one that a full Redis refuses, so nothing was done then; the key is written behind the entry.
local function refuse(why) return redis.error_reply('ERR ' .. why) end
local n = #ARGV - 3
if n < 2 or n % 2 == 1 then return refuse('an entry has a name and a value at least, and as many of both') end
if n > 7000 then return refuse('an entry with more than 3500 fields can only be added by XADD') end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local due, hold = tonumber(ARGV[2]), tonumber(ARGV[3])
if not due or due ~= due or due < 0 or due >= 9e14 then return refuse('this is no time in ms: ' .. ARGV[2]) end
if ARGV[1] == 'in' then due = now + due elseif ARGV[1] ~= 'at' then return refuse('say in or at') end
due = math.floor(due)
if ARGV[3] ~= '' and not (hold and hold >= 1 and hold < 9e14) then return refuse('the key holds for 1 ms at least, not ' .. ARGV[3]) end
hold = math.floor(hold or math.max(3600000, due - now))

local first = KEYS[4] and redis.call('GET', KEYS[4])
if first then
  local waits = redis.call('HEXISTS', KEYS[3], first) == 1
  return {1, first, waits and string.match(first, '^%d+') or '', text(now)}
end

local id, values = nil, {}
for i = 4, #ARGV do values[i - 3] = ARGV[i] end
if due <= now then
  id = redis.call('XADD', KEYS[1], '*', unpack(values))
else
  redis.call('ZCARD', KEYS[2])
  local us = t[1] * 1000000 + t[2]
  repeat
    id = text(due) .. '-' .. text(us)
    us = us + 1
  until redis.call('HEXISTS', KEYS[3], id) == 0
  local stem = string.sub(KEYS[2], 1, -6) .. 'once:'
  if KEYS[4] and string.sub(KEYS[4], 1, #stem) == stem then table.insert(values, 1, {once = string.sub(KEYS[4], #stem + 1)}) end
  redis.call('HSET', KEYS[3], id, cmsgpack.pack(values))
  redis.call('ZADD', KEYS[2], text(due), id)
end
if KEYS[4] then redis.call('SET', KEYS[4], id, 'PX', text(hold)) end
return {0, id, due > now and text(due) or '', text(now)}
