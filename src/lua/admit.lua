-- admit: may an entry of a job with limits start? If so its worker has a slot and the start is counted; if not it is parked, the
-- attempt given back. Or, without an entry: new ones are read, but only if they may start at once.
-- KEYS: stream, due, given, paused, running, starts
-- ARGV: group, consumer, name of the parking consumer, id ('' = read), delivery (read: how many at most), handlers at once (0 = any),
--       starts in a period (0 = any), the period in ms, lease in ms, score under which it waits, 1 = no other job is on the queue
-- Answers: {code, free, wait, now, what XREADGROUP answered}; code 0 may start (or was read), 1 too many run, 2 too many started,
--          3 another's by now, 4 not pending, 5 would have to wait, but was deleted (nothing was done), 6 paused (nothing was read)
--   free: handlers that may still be added, -1 = any; wait: ms until the next start may be, 0 = now
-- running: consumer -> the end of its lease. A worker that has something pending runs it, too, however late it is; one that was
-- recovered holds nothing any more. So nothing that dies keeps a slot. Where the key is missing on a queue without other jobs, whoever
-- holds an entry counts. starts: id/delivery -> when, of the last period.
-- What waits has a row in `due` with a score that never comes: 8e15 and a number of its job, one more if it waits for the rate.
-- Crash: atomic. Sent again after a lost answer: who has a slot has it still, a start that is counted is not counted again, and what
-- was parked is another's.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local group, me, parked, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most, starts, period, lease = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local started = id .. '/' .. ARGV[5]
local function score(key, member) return tonumber(redis.call('ZADD', key, 'XX', 'INCR', 0, member) or nil) end

if id ~= '' then
  local p = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
  if not p then return {4, -1, 0, text(now)} end
  if p[2] ~= me or p[4] ~= tonumber(ARGV[5]) then return {3, -1, 0, text(now)} end
elseif redis.call('EXISTS', KEYS[4]) == 1 then
  return {6, -1, 0, text(now)}
end

local function count_holders()
  local summary = redis.call('XPENDING', KEYS[1], group)[4] or {}
  for i = 1, #summary do
    local name = summary[i][1]
    if name ~= me and string.match(name, '^[%w%._-]+/[%w%._-]+/%d+/%x+$') then redis.call('ZADD', KEYS[5], 0, name) end
  end
end

-- Others that run; no row is looked at closely before they are too many.
local function others()
  local n = redis.call('ZCARD', KEYS[5])
  if n == 0 and ARGV[11] == '1' then
    count_holders()
    n = redis.call('ZCARD', KEYS[5])
  end
  if n < most then return n end
  local rows, gone = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES'), {}
  n = 0
  for i = 1, #rows, 2 do
    if tonumber(rows[i + 1]) <= now and #redis.call('XPENDING', KEYS[1], group, '-', '+', 1, rows[i]) == 0 then
      redis.call('ZREM', KEYS[5], rows[i])
    elseif rows[i] ~= me then
      n = n + 1
    end
  end
  return n
end

local free, room, wait, code = -1, -1, 0, 0
if most > 0 then
  local n = others()
  free = most - n
  if free <= 0 and (score(KEYS[5], me) or 0) == 0 then code = 1 end
end
if starts > 0 then
  local old = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', text(now - period - 1))
  for i = 1, #old do redis.call('ZREM', KEYS[6], old[i]) end
  room = starts - redis.call('ZCARD', KEYS[6])
  if room <= 0 and code == 0 and not (id ~= '' and score(KEYS[6], started)) then code = 2 end
end
local function when()
  if starts == 0 or room > 0 then return 0 end
  local row = redis.call('ZRANGE', KEYS[6], text(0 - room), text(0 - room), 'WITHSCORES')
  return row[2] and math.max(1, tonumber(row[2]) + period + 1 - now) or 1
end

if code > 0 then
  wait = when()
  if id ~= '' then
    if #redis.call('XRANGE', KEYS[1], id, id) == 0 then return {5, math.max(0, free), wait, text(now)} end
    redis.call('HEXISTS', KEYS[3], id) -- refused before anything is changed
    redis.call('XCLAIM', KEYS[1], group, parked, 0, id, 'JUSTID')
    redis.call('ZADD', KEYS[2], text(tonumber(ARGV[10]) + code - 1), id)
    redis.call('HINCRBY', KEYS[3], id, 1)
  end
  return {code, most > 0 and math.max(0, free) or -1, wait, text(now)}
end

local read = false
local n = 1
if id == '' then
  local count = tonumber(ARGV[5])
  if starts > 0 then count = math.min(count, room) end
  read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', text(count), 'STREAMS', KEYS[1], '>')
  if not read or not read[1] then return {0, free, wait, text(now)} end
  n = #read[1][2]
end
if most > 0 then
  redis.call('ZADD', KEYS[5], text(now + lease), me)
  redis.call('EXPIRE', KEYS[5], text(math.ceil(lease / 1000) + 86400))
  free = math.max(0, free - 1)
end
if starts > 0 then
  local was = redis.call('ZCARD', KEYS[6])
  for i = 1, n do
    redis.call('ZADD', KEYS[6], text(now), read and read[1][2][i][1] .. '/1' or started)
  end
  redis.call('EXPIRE', KEYS[6], text(math.ceil(period / 1000) + 60))
  room = room - redis.call('ZCARD', KEYS[6]) + was
  wait = when()
end
return {0, free, wait, text(now), read}
