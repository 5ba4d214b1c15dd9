#include "actors/cdc/rebuild.hpp"

#include <algorithm>

#include "actors/cdc/database.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::cdc {

task<bool> rebuilder::step() {
  auto asked = ask(thread_, control_, sql::cdc::rebuilds());
  const auto got = co_await asked;
  const auto* all = std::get_if<0>(&got);
  if (all == nullptr)
    co_return false;
  for (const auto& x : *all) {
    if (x.phase == "done" || !index_.vectorises(x.table))
      continue;
    auto made = x.phase == "sweep" ? sweep(x) : upsert(x);
    const bool good = co_await made;
    co_return good;
  }
  co_return false;
}

task<bool> rebuilder::upsert(sql::cdc::rebuild at) {
  auto asked = ask(thread_, control_, sql::cdc::rebuild_page(at, page_rows, page_bytes));
  auto got = co_await asked;
  auto* page = std::get_if<0>(&got);
  if (page == nullptr)
    co_return false;
  if (page->empty()) {
    at.phase = "sweep";
    at.after_tenant.reset();
    at.after_row.reset();
    auto stepped = moved(std::move(at), 0, 0);
    const bool good = co_await stepped;
    co_return good;
  }
  for (auto& x : *page)
    x.table = at.table;
  auto applied_all = apply(at.table, *page);
  const bool applied_well = co_await applied_all;
  if (!applied_well)
    co_return false;
  at.after_tenant = page->back().tenant;
  at.after_row = page->back().row;
  auto stepped = moved(std::move(at), page->size(), 0);
  const bool good = co_await stepped;
  co_return good;
}

/// False: to be tried again. Where a page is refused its rows are tried one by one, and those that
/// are refused again are left out.
task<bool> rebuilder::apply(const std::string& table, const std::vector<change>& page) {
  using how = applied::how;
  std::vector<const change*> rows;
  for (const auto& x : page)
    rows.push_back(&x);
  auto together = index_.apply(table, rows);
  const auto ends = co_await together;
  for (size_t i = 0; i < ends.size(); ++i) {
    if (ends[i].what == how::put_off || ends[i].what == how::untouched)
      co_return false;
    if (ends[i].what != how::failed)
      continue;
    std::vector<const change*> one{rows[i]};
    auto alone = index_.apply(table, std::move(one));
    const auto end = co_await alone;
    if (end[0].what == how::put_off || end[0].what == how::untouched)
      co_return false;
    if (end[0].what == how::failed)
      log::warn("a rebuild of the vector index leaves out a row",
                {{"table", table}, {"row", rows[i]->row}, {"reason", end[0].error}});
  }
  co_return true;
}

task<bool> rebuilder::sweep(sql::cdc::rebuild at) {
  auto looked = index_.points(at.table, at.after_row, page_points);
  auto found = co_await looked;
  auto* page = std::get_if<point_page>(&found);
  if (page == nullptr)
    co_return false;
  std::vector<sql::cdc::row_key> keys;
  for (const auto& x : page->points)
    keys.push_back({x.tenant, x.row});
  auto asked = ask(thread_, control_, sql::cdc::rows_gone(at.table, keys));
  const auto got = co_await asked;
  const auto* gone = std::get_if<0>(&got);
  if (gone == nullptr)
    co_return false;
  std::vector<uuid> ids;
  for (const auto i : *gone)
    if (i < page->points.size())
      ids.push_back(page->points[i].id);
  const auto swept = ids.size();
  if (!ids.empty()) {
    auto removed = index_.remove(at.table, std::move(ids));
    const auto wrong = co_await removed;
    if (wrong)
      co_return false;
  }
  at.phase = page->next ? "sweep" : "done";
  at.after_row = page->next;
  auto stepped = moved(std::move(at), 0, swept);
  const bool good = co_await stepped;
  co_return good;
}

task<bool> rebuilder::moved(sql::cdc::rebuild to, size_t upserted, size_t swept) {
  auto asked =
      ask(thread_, control_,
          sql::cdc::rebuild_step(to, static_cast<int64_t>(upserted), static_cast<int64_t>(swept)));
  const auto got = co_await asked;
  if (got.index() == 0 && to.phase == "done")
    log::info("rebuilt the vector index", {{"table", to.table}});
  co_return got.index() == 0;
}

}  // namespace kgents::cdc
