-- census: ARGV = prefix; cells; now. Gives kind, live and ended in turn.
local prefix, cells, now = unpack(ARGV)
local live, ended, broken = {}, {}, {}
local function count(base)
  for _, kind in ipairs(redis.call('SMEMBERS', base .. 'k')) do
    local by_end = base .. 'e:' .. kind
    live[kind] = (live[kind] or 0) + redis.call('ZCOUNT', by_end, '(' .. now, '+inf')
    ended[kind] = (ended[kind] or 0) + redis.call('ZCOUNT', by_end, '-inf', now)
  end
end
for i = 1, #cells do tolerant(broken, count, base_of(prefix, string.byte(cells, i))) end
local counts = {}
for kind, number in pairs(live) do
  table.insert(counts, kind)
  table.insert(counts, number)
  table.insert(counts, ended[kind])
end
return { counts, broken }
