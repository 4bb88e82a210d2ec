-- erase_pairs: ARGV = prefix; cells; before; from when on a clock was ahead; most.
local prefix, cells, before, ahead, most = unpack(ARGV)
local erased = 0

local function erase(base, from, to)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'p', from, to, 'LIMIT', 0, most - erased)) do
    redis.call('HDEL', base .. 'x:' .. id, 'pair')
    redis.call('ZREM', base .. 'p', id)
    erased = erased + 1
  end
end

for i = 1, #cells do
  if erased == tonumber(most) then break end
  local base = base_of(prefix, string.byte(cells, i))
  erase(base, '-inf', '(' .. before)
  erase(base, ahead, '+inf')
end
return erased
