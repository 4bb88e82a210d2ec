-- revoke: KEYS = base; ARGV = 'one', 'others', 'all' or 'family'; slot; id, subject or family; for 'one' prefix and
-- expected revision, for 'others' the one to keep.
local base = KEYS[1]
local scope, slot, name, extra, expected = unpack(ARGV)
local ids
if scope == 'one' then
  local held = redis.call('HMGET', base .. 's:' .. name, 'pre', 'rev')
  if held[1] ~= extra or (given(expected) and held[2] ~= expected) then return {} end
  ids = { name }
elseif scope == 'family' then
  ids = members(base, name)
else
  ids = redis.call('ZRANGE', base .. 'u:' .. name, 0, -1)
end
local gone = {}
for _, id in ipairs(ids) do
  local held = peek(base .. 's:' .. id)
  if held and held.slot == slot and not (scope == 'others' and id == extra) then
    table.insert(gone, finish(base, id))
  end
end
return gone
