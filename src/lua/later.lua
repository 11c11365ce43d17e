-- later: a page of the delayed entries, in the order in which they are due.
-- KEYS: later, later:data
-- ARGV: offset, how many
-- Answers: {now, more 0|1, {id, due, {field, value, ...}}, ...}: fewer, when they are large; no fields where the data is missing or none
-- Crash: nothing is written.
local t = redis.call('TIME')
local out, bytes = {string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), 0}, 0
local rows = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
if #rows == 2 * ARGV[2] then out[2] = 1 end
for i = 1, #rows, 2 do
  local row = redis.call('HGET', KEYS[2], rows[i]) or ''
  local ok, from = pcall(cmsgpack.unpack, row)
  local values = {}
  if ok and type(from) == 'table' then
    for j = type(from[1]) == 'table' and 2 or 1, #from do values[#values + 1] = tostring(from[j]) end
  end
  if #values % 2 == 1 then values = {} end
  out[#out + 1] = {rows[i], string.format('%.0f', math.max(0, math.min(9e15, tonumber(rows[i + 1])))), values}
  bytes = bytes + #row
  if bytes > 65536 and i + 2 < #rows then
    out[2] = 1
    break
  end
end
return out
