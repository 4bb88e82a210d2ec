-- sweep: ARGV = prefix; cells; before; most records; most tickets; bases of tickets.
local prefix, cells, before, most_records, most_tickets = unpack(ARGV, 1, 5)
local records, tickets, looked, broken = 0, 0, 0, {}

local function sweep_kind(base, kind)
  local by_end = base .. 'e:' .. kind
  local ended = redis.call('ZRANGEBYSCORE', by_end, '-inf', '(' .. before, 'LIMIT', 0, most_records - looked)
  for _, id in ipairs(ended) do
    looked = looked + 1
    if tolerant(broken, finish, base, id) then
      records = records + 1
    else
      -- It is gone already, or not one of ours.
      redis.call('ZREM', by_end, id)
      redis.call('ZREM', base .. 'a', id)
      redis.call('ZREM', base .. 'p', id)
    end
  end
  if redis.call('EXISTS', by_end) == 0 then redis.call('SREM', base .. 'k', kind) end
end

local function sweep_cell(base)
  for _, kind in ipairs(redis.call('SMEMBERS', base .. 'k')) do
    if looked == tonumber(most_records) then return end
    tolerant(broken, sweep_kind, base, kind)
  end
end

local function sweep_tickets(base)
  local expired = redis.call('ZRANGEBYSCORE', base .. 'e', '-inf', '(' .. before, 'LIMIT', 0, most_tickets - tickets)
  for _, key in ipairs(expired) do
    redis.call('ZREM', base .. 'e', key)
    redis.call('HDEL', base .. 'v', key)
    tickets = tickets + 1
  end
end

for i = 1, #cells do
  if looked == tonumber(most_records) then break end
  tolerant(broken, sweep_cell, base_of(prefix, string.byte(cells, i)))
end
for i = 6, #ARGV do
  if tickets == tonumber(most_tickets) then break end
  tolerant(broken, sweep_tickets, ARGV[i])
end
return { records, tickets, looked, broken }
