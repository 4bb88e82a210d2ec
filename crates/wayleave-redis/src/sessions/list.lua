-- list: a subject's records, newest first. KEYS = base; ARGV = slot; subject; birth and id of the last one shown; most.
local base = KEYS[1]
local slot, subject, born, after, most = unpack(ARGV)
local index = base .. 'u:' .. subject
local entries, more = page(index, given(born), after, most)
local records, broken = {}, {}
for _, entry in ipairs(entries) do
  local id = entry[1]
  local record = tolerant(broken, function()
    return redis.call('HGET', base .. 's:' .. id, 'slot') == slot and answer(base, id) or nil
  end)
  if record then table.insert(records, record) end
end
return { more and entries[#entries] or false, records, broken }
