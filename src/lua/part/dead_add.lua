-- To write a dead letter: its command, with room for the ID at the third place. Needs t (TIME), now (ms), text.
-- The ID of a dead letter is nobody else's: of its millisecond it has a number that XADD's * gives to no entry.
local number = 1000000 + t[2] % 1000 * 1000
local function dead_add(add)
  add[3] = text(now) .. '-' .. text(number)
  number = number + 1
  local dead_id = redis.pcall(unpack(add))
  if type(dead_id) == 'string' then return dead_id end
  add[3] = '*' -- the clock was set back: behind the last one; whatever else was refused is refused again
  return redis.call(unpack(add))
end
