-- The order of two IDs. Their halves have 64 bits, more than a number has here: their digits are compared.
local function less_number(x, y)
  if #x ~= #y then return #x < #y end
  return x < y
end
local function less(x, y)
  local a, b = string.match(x, '^(%d+)-(%d+)$')
  local c, d = string.match(y, '^(%d+)-(%d+)$')
  if a ~= c then return less_number(a, c) end
  return b ~= d and less_number(b, d)
end
