-- list of everybody's records: cell by cell, newest first. ARGV = prefix; cells; most; the cell, birth and id of the last
-- one shown.
local prefix, cells, most, after_cell, born, after = unpack(ARGV)
local shown, broken = {}, {}
for i = 1, #cells do
  local cell = string.byte(cells, i)
  if cell >= tonumber(after_cell) then
    local base = base_of(prefix, cell)
    local from = cell == tonumber(after_cell) and given(born) or nil
    local entries = tolerant(broken, page, base .. 'a', from, after, most - #shown) or {}
    for _, entry in ipairs(entries) do
      local record = tolerant(broken, answer, base, entry[1])
      table.insert(shown, { cell, entry[1], entry[2], record or false })
    end
    if #shown == tonumber(most) then break end
  end
end
return { shown, broken }
