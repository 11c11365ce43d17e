-- host_renew: a host says that it lives, and notes how far the group has been delivered.
-- KEYS: hosts, stream
-- ARGV: name, row (JSON object without seen_ms and delivered), boot, machine, pid_ns, pid, started, group, lease_ms
-- Answers: {code, longest lease of any host that is alive or still holds entries, number of other hosts alive, now};
--          code 0 renewed, 1 the row is another's (nothing was done), 2 there was none: written again
-- Rows of hosts that have been gone for two leases and hold nothing are removed.
-- Crash: the rows are hints; each write stands alone.
redis.call('HDEL', KEYS[1], '')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', tonumber(n) or 0) end
local function read(raw)
  local ok, row = pcall(cjson.decode, raw)
  return ok and type(row) == 'table' and row or nil
end

local consumers
local function holds(host)
  if not consumers then
    consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[2], ARGV[8])
    if consumers.err then consumers = {} end
  end
  for i = 1, #consumers do
    local c = {}
    for j = 1, #consumers[i], 2 do c[consumers[i][j]] = consumers[i][j + 1] end
    if c.pending > 0 and string.sub(c.name, 1, #host + 1) == host .. '/' then return true end
  end
  return false
end

local code, others, longest = 2, 0, tonumber(ARGV[9])
local delivered
local rows = redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local row = read(rows[i + 1])
  local lease = row and tonumber(row.lease_ms) or 0
  local ago = row and now - (tonumber(row.seen_ms) or 0) or 0
  if rows[i] == ARGV[1] then
    local mine = row and row.boot == ARGV[3] and row.machine == ARGV[4] and text(row.pid_ns) == ARGV[5] and text(row.pid) == ARGV[6] and
      text(row.started) == ARGV[7]
    code = mine and 0 or row and 1 or 2
    delivered = string.match(rows[i + 1], '"delivered":"(%d+%-%d+)"')
  elseif row and ago <= lease then
    others = others + 1
    longest = math.max(longest, lease)
  elseif row and holds(rows[i]) then
    longest = math.max(longest, lease)
  elseif row and ago > 2 * lease then
    redis.call('HDEL', KEYS[1], rows[i])
  end
end
if code == 1 then return {1, longest, others, text(now)} end

-- While the group is there it knows best; once it is gone the last that was known counts.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[2])
for i = 1, groups.err and 0 or #groups do
  local g = {}
  for j = 1, #groups[i], 2 do g[groups[i][j]] = groups[i][j + 1] end
  if g.name == ARGV[8] then delivered = g['last-delivered-id'] end
end
redis.call('HSET', KEYS[1], ARGV[1], string.sub(ARGV[2], 1, -2) .. ',"seen_ms":' .. text(now) ..
  (delivered and ',"delivered":"' .. delivered .. '"' or '') .. '}')
return {code, longest, others, text(now)}
