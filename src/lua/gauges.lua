-- gauges: the state of a queue, as of one moment. Its cost does not grow with the backlog, what is parked, or the dead letters.
-- KEYS: stream, due, dead, paused, later, note, later:data
-- ARGV: group, name of the parking consumer, 1 = count what a suspended job put back, too (looks at up to 10,000 notes)
-- Answers: {group is there 0|1, length, waiting (-1 = cannot be told), something waits 0|1, pending, parked, rows in due
--           (but those that only say that an entry was taken, score 9e15),
--           ms until the next is due (-1 none), later (-1 = cannot be told), dead, oldest waiting id, oldest id pending and not parked, paused 0|1,
--           last delivered id, now, rows in due that are due, pending under consumers that are not xackd's,
--           parked because a job is suspended (of the first 10,000), ms until the next delayed entry is due ('' = none, negative: it is
--           overdue), rows of later:data (-1 = cannot be told), parked because a job is at a limit (score 8e15 and more)}
-- What is wrong with the delayed entries' keys is no reason to know nothing of the others.
-- Redis's own lag may be missing or wrong after deletions; whether something waits is looked up.
-- Crash: nothing is written.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- part: less

local length = redis.call('XLEN', KEYS[1])
local out = {0, length, -1, 0, 0, 0, redis.call('ZCOUNT', KEYS[2], '-inf', '(9e15'), -1, -1, redis.call('XLEN', KEYS[3]),
  '', '', redis.call('EXISTS', KEYS[4]), '0-0', string.format('%.0f', now), redis.call('ZCOUNT', KEYS[2], '-inf', string.format('%.0f', now)), 0, 0, '', -1,
  redis.call('ZCOUNT', KEYS[2], '8e15', '(9e15')}
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if #following == 2 and tonumber(following[2]) < 8e15 then out[8] = math.max(0, tonumber(following[2]) - now) end
local later = redis.pcall('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if not later.err then
  out[9] = redis.call('ZCARD', KEYS[5])
  if #later == 2 and tonumber(later[2]) < 9e15 then out[19] = string.format('%.0f', math.max(-9e15, tonumber(later[2]) - now)) end
end
local rows = redis.pcall('HLEN', KEYS[7])
if type(rows) == 'number' then out[20] = rows end

local group
if redis.call('EXISTS', KEYS[1]) == 1 then
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  for i = 1, #groups do
    local g = {}
    for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
    if g.name == ARGV[1] then group = g end
  end
end
if not group then return out end

out[1] = 1
out[14] = group['last-delivered-id']
local ahead = redis.call('XRANGE', KEYS[1], out[14], '+', 'COUNT', 2) -- not '(': nothing is behind the greatest ID there is
ahead = ahead[1] and ahead[1][1] == out[14] and ahead[2] or ahead[1]
if ahead and ahead[1] == out[14] then ahead = nil end
if not ahead then
  out[3] = 0
else
  out[4] = 1
  out[11] = ahead[1]
  local lag = group['lag']
  if out[14] == '0-0' then
    out[3] = length
  elseif type(lag) == 'number' and lag > 0 then
    out[3] = math.min(lag, length)
  end
end

local summary = redis.call('XPENDING', KEYS[1], ARGV[1])
out[5] = summary[1]
local holders = summary[4] or {}
for i = 1, #holders do
  if holders[i][1] == ARGV[2] then
    out[6] = tonumber(holders[i][2])
  elseif i <= 1000 then
    local first = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, holders[i][1])[1]
    if first and (out[12] == '' or less(first[1], out[12])) then out[12] = first[1] end
  end
  if holders[i][1] ~= ARGV[2] and not string.match(holders[i][1], '^[^/]+/[^/]+/%d+/%x+$') then
    out[17] = out[17] + tonumber(holders[i][2])
  end
end
if ARGV[3] == '1' then
  local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(8e15', 'LIMIT', 0, 10000)
  for i = 1, #ids do
    local note = redis.call('HGET', KEYS[6], ids[i])
    if note and string.find(note, '"reason":"spawn"', 1, true) then out[18] = out[18] + 1 end
  end
end
return out
