-- group: the group is made if it is absent, where it had got to: at the highest ID that a host's row says was delivered, at 0
-- if the stream is a new one (its last ID is below that), at the configured start if nothing is known. What has a due time is
-- put back under the parking consumer; workers put back what they hold (put_back). What had been taken (its row is far in the
-- future) is its worker's, but the answer may have been lost with the group: the worker has the longest lease to claim it, then it is
-- due.
-- KEYS: stream, due, given, note, hosts, the mark that the group was made again
-- ARGV: group, start (0 or $), name of the parking consumer, highest ID that the caller knows to have been delivered ('' = none)
-- Answers: 1 made, 0 it was there
-- Attempts stay right: an entry's last note tells delivery and given of then, and each delivery given back since raised both;
-- what was never noted has only been given back. Rows of `given` beyond the start are dropped: those are delivered anew, from 1.
-- The mark stands for a lease, while workers put back what they run: until then nothing of the stream is trimmed (trim).
-- Crash: XGROUP CREATE and all that follows is one step; this is the only use of FORCE.
redis.call('ZREM', KEYS[2], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- part: less
local function absent(r) return r.err and string.find(r.err, 'no such key', 1, true) end

local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err and not absent(groups) then return groups end
for i = 1, #groups do
  for j = 1, #groups[i], 2 do
    if groups[i][j] == 'name' and groups[i][j + 1] == ARGV[1] then return 0 end
  end
end

local known = string.match(ARGV[4] or '', '^%d+%-%d+$')
local rows = redis.call('HGETALL', KEYS[5])
local lease = 1000
for i = 2, #rows, 2 do
  lease = math.max(lease, tonumber(string.match(rows[i], '"lease_ms":(%d+)') or 0))
  local id = string.match(rows[i], '"delivered":"(%d+%-%d+)"')
  if id and (not known or less(known, id)) then known = id end
end
local last = '0-0'
if not groups.err then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for j = 1, #info, 2 do
    if info[j] == 'last-generated-id' then last = info[j + 1] end
  end
end
lease = math.min(lease, 315360000000) -- ten years, the longest there is: SET refuses more, and what is put back comes after it
local start = ARGV[2]
if known then start = less(last, known) and '0' or known end
local reached = start == '$' and last or start == '0' and '0-0' or start

local due = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
local given = redis.call('HGETALL', KEYS[3])
local given_of = {}
for i = 1, #given, 2 do given_of[given[i]] = tonumber(given[i + 1]) or 0 end
redis.call('HEXISTS', KEYS[4], '')

redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], start, 'MKSTREAM')
if reached ~= '0-0' then redis.call('SET', KEYS[6], 1, 'PX', lease) end
for i = 1, #given, 2 do
  if not string.match(given[i], '^%d+%-%d+$') or less(reached, given[i]) then redis.call('HDEL', KEYS[3], given[i]) end
end
for i = 1, #due, 2 do
  local id = due[i]
  if not string.match(id, '^%d+%-%d+$') or less(reached, id) then
    redis.call('ZREM', KEYS[2], id)
  else
    local g = given_of[id] or 0
    local delivery = math.max(1, g)
    local note = redis.call('HGET', KEYS[4], id)
    local d, then_given = string.match(note or '', '"delivery":(%d+),"given":(%d+)')
    if d then
      delivery = math.max(tonumber(d), tonumber(d) + g - tonumber(then_given))
    else
      d = string.match(note or '', '"delivery":(%d+)')
      if d then delivery = math.max(delivery, tonumber(d)) end
    end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, id, 'RETRYCOUNT', delivery, 'FORCE', 'JUSTID')
    if tonumber(due[i + 1]) >= 9e15 then redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease), id) end
  end
end
return 1
