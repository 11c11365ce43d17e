-- parked: a page of what has a due time, in the order of it (9e15 is none: the entry was taken).
-- KEYS: stream, due, given, note
-- ARGV: group, offset, how many, 1 = with the entries' pairs (then fewer, when they are large)
-- Answers: {now, more 0|1, {id, due, delivery (0 = not pending any more), given, note or '', {field, value, ...}}, ...}
-- By rank: to look for an offset among scores costs Redis as many steps as it is far.
-- Crash: nothing is written.

-- Anybody may have written into `due`: what is no ID of an entry there would make every command refuse it, and so this script, for ever.
local function is_id(text)
  local ms, seq = string.match(text, '^(%d+)-(%d+)$')
  local function fits(n) return #n < 20 or #n == 20 and n <= '18446744073709551615' end
  return ms and fits(ms) and fits(seq)
end
local t = redis.call('TIME')
local out, bytes = {string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), 0}, 0
local rows = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1, 'WITHSCORES')
if #rows == 2 * ARGV[3] then out[2] = 1 end
for i = 1, #rows, 2 do
  local id, due = rows[i], tonumber(rows[i + 1])
  if due >= 9e15 then
    out[2] = 0
    break
  end
  if is_id(id) then
    local p = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
    local pairs_of_it = {}
    if ARGV[4] == '1' then
      local e = redis.call('XRANGE', KEYS[1], id, id)[1]
      pairs_of_it = e and e[2] or {}
      for j = 1, #pairs_of_it do bytes = bytes + #pairs_of_it[j] end
    end
    out[#out + 1] = {id, string.format('%.0f', due), p and p[4] or 0, tonumber(redis.call('HGET', KEYS[3], id) or 0) or 0,
      redis.call('HGET', KEYS[4], id) or '', pairs_of_it}
    if bytes > 65536 and i + 2 < #rows then
      out[2] = 1
      break
    end
  end
end
return out
