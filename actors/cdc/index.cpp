#include "actors/cdc/index.hpp"

#include <algorithm>

namespace kgents::cdc {

namespace {

using clock = std::chrono::steady_clock;

/// data.md 11.1.
runtime::breaker_limits limits() {
  runtime::breaker_limits out;
  out.failures_to_open = 5;
  out.successes_to_close = 1;
  out.open_for = std::chrono::seconds{30};
  return out;
}

std::vector<std::string> vectorised(const runtime::cdc_settings& how) {
  std::vector<std::string> out{"memories", "persona_garden"};
  if (how.messages)
    out.emplace_back("messages");
  return out;
}

applied ended(const trouble& why, bool embedding) {
  applied out;
  out.what = why.away ? applied::how::put_off : applied::how::failed;
  out.error = why.error;
  out.embedding = embedding;
  return out;
}

}  // namespace

/// Points to upsert, and of which change each is.
struct vector_index::pending {
  std::vector<upsert_point> points;
  std::vector<size_t> of;
  std::vector<bool> unchanged;  ///< its text is the one in the index
  std::vector<std::vector<float>> vectors;
  std::vector<uuid> deletes;
  std::vector<size_t> deletes_of;
};

vector_index::vector_index(runtime::io_thread& thread, const runtime::cdc_settings& how,
                           const runtime::provider_settings& openai)
    : tables_{vectorised(how)},
      qdrant_{thread, how},
      embeddings_{thread, how, openai},
      breaker_{limits()} {}

bool vector_index::vectorises(std::string_view table) const {
  return std::find(tables_.begin(), tables_.end(), table) != tables_.end();
}

/// An answer that refuses what was asked is a sign of life.
void vector_index::note(const trouble* why) {
  if (why != nullptr && (why->away || why->status == 0 || why->status >= 500))
    breaker_.failed(clock::now());
  else
    breaker_.succeeded();
}

task<bool> vector_index::usable() {
  if (breaker_.state() == runtime::breaker_state::closed)
    co_return true;
  if (!breaker_.admits(clock::now()))
    co_return false;
  auto probed = qdrant_.probe();
  const auto wrong = co_await probed;
  note(wrong ? &*wrong : nullptr);
  co_return breaker_.state() == runtime::breaker_state::closed;
}

task<std::vector<applied>> vector_index::apply(std::string table,
                                               std::vector<const change*> changes) {
  std::vector<applied> ends(changes.size());
  auto ensured = qdrant_.ensure(table);
  if (const auto wrong = co_await ensured) {
    note(&*wrong);
    std::fill(ends.begin(), ends.end(), ended(*wrong, false));
    for (auto& x : ends)  // none of them was what it failed on
      x.what = applied::how::put_off;
    co_return ends;
  }
  pending work;
  for (size_t i = 0; i < changes.size(); ++i) {
    auto point = to_point(*changes[i]);
    if (auto* x = std::get_if<upsert_point>(&point)) {
      work.points.push_back(std::move(*x));
      work.of.push_back(i);
    } else if (const auto* gone = std::get_if<delete_point>(&point)) {
      work.deletes.push_back(gone->id);
      work.deletes_of.push_back(i);
    } else {
      ends[i].what = applied::how::invalid;
      ends[i].error = std::get<invalid_point>(point).error;
    }
  }
  auto looked = skip_unchanged(table, work);
  auto wrong = co_await looked;
  if (!wrong) {
    auto made = embed(work, ends);
    co_await made;
    std::vector<point_write> writes;
    for (size_t i = 0; i < work.points.size(); ++i)
      if (work.unchanged[i] || !work.vectors[i].empty())
        writes.push_back(
            {work.points[i].id, std::move(work.vectors[i]), std::move(work.points[i].payload)});
    if (writes.empty() && work.deletes.empty())
      co_return ends;
    auto written = qdrant_.write(table, std::move(writes), work.deletes);
    wrong = co_await written;
  }
  note(wrong ? &*wrong : nullptr);
  const auto end = wrong ? ended(*wrong, false) : applied{applied::how::done};
  work.of.insert(work.of.end(), work.deletes_of.begin(), work.deletes_of.end());
  for (const auto i : work.of)
    if (ends[i].what == applied::how::untouched)
      ends[i] = end;
  co_return ends;
}

/// A text that is in the index already is not embedded again (data.md 11.2).
task<std::optional<trouble>> vector_index::skip_unchanged(const std::string& table, pending& work) {
  work.unchanged.assign(work.points.size(), false);
  work.vectors.resize(work.points.size());
  if (work.points.empty())
    co_return std::nullopt;
  std::vector<uuid> ids;
  for (const auto& x : work.points)
    ids.push_back(x.id);
  auto asked = qdrant_.stored_texts(table, std::move(ids));
  const auto stored = co_await asked;
  if (const auto* why = std::get_if<trouble>(&stored))
    co_return *why;
  const auto& texts = std::get<qdrant::texts>(stored);
  for (size_t i = 0; i < work.points.size(); ++i) {
    const auto found = texts.find(work.points[i].id);
    work.unchanged[i] = found != texts.end() && found->second == work.points[i].sha256;
  }
  co_return std::nullopt;
}

/// Fills in the vectors of those points that need one; where that fails, ends them.
task<bool> vector_index::embed(pending& work, std::vector<applied>& ends) {
  std::vector<std::string> texts;
  std::vector<size_t> places;
  for (size_t i = 0; i < work.points.size(); ++i)
    if (!work.unchanged[i]) {
      texts.push_back(std::move(work.points[i].text));
      places.push_back(i);
    }
  if (texts.empty())
    co_return true;
  auto asked = embeddings_.embed(std::move(texts));
  auto got = co_await asked;
  if (const auto* why = std::get_if<trouble>(&got)) {
    for (const auto i : places)
      ends[work.of[i]] = ended(*why, true);
    co_return false;
  }
  auto& made = std::get<vectors>(got);
  for (size_t i = 0; i < places.size(); ++i)
    work.vectors[places[i]] = std::move(made[i]);
  co_return true;
}

task<std::variant<point_page, trouble>> vector_index::points(std::string table,
                                                             std::optional<std::string> after,
                                                             size_t most) {
  auto ensured = qdrant_.ensure(table);
  if (auto wrong = co_await ensured) {
    note(&*wrong);
    co_return std::move(*wrong);
  }
  auto asked = qdrant_.scroll(table, std::move(after), most);
  auto got = co_await asked;
  note(std::get_if<trouble>(&got));
  co_return got;
}

task<std::optional<trouble>> vector_index::remove(std::string table, std::vector<uuid> ids) {
  std::vector<point_write> none;
  auto asked = qdrant_.write(std::move(table), std::move(none), std::move(ids));
  auto wrong = co_await asked;
  note(wrong ? &*wrong : nullptr);
  co_return wrong;
}

task<answered> vector_index::search(std::string table, tenant_id tenant, std::string text,
                                    size_t most) {
  std::vector<std::string> texts{std::move(text)};
  auto embedded = embeddings_.embed(std::move(texts));
  auto got = co_await embedded;
  if (auto* why = std::get_if<trouble>(&got))
    co_return std::move(*why);
  auto asked = qdrant_.search(std::move(table), tenant, std::move(std::get<vectors>(got)[0]), most);
  auto found = co_await asked;
  co_return found;
}

}  // namespace kgents::cdc
