#include "tests/sim/log_writer.hpp"

#include <algorithm>
#include <memory>

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

struct part {
  runtime::log_ptr log;
  uint64_t take = 0;
  turn_id turn;
  lease_epoch epoch = 0;
  size_t which = 0;
};

}  // namespace

void log_writer::appended(const runtime::log_ptr& log) {
  if (!log->mark_dirty())
    return;
  dirty_.push_back(log);
  home_.after(10us, [this] { flush(); });
}

void log_writer::flush() {
  if (busy_ || dirty_.empty())
    return;
  auto parts = std::make_shared<std::vector<part>>();
  std::vector<chunk_row> rows;
  for (const auto& log : std::exchange(dirty_, {})) {
    auto taken = log->take(16);
    if (taken.chunks.empty())
      continue;
    const auto which = home_.all.session_of(log->session());
    const auto& first = taken.chunks.front()->place();
    parts->push_back({log, taken.take, first.turn, first.epoch, which});
    for (const auto& x : taken.chunks)
      rows.push_back({which, x->place().turn, x->place().epoch,
                      static_cast<chunk_index>(x->place().index), x->text,
                      fence{home_.all.shard(which), taken.lease}});
  }
  if (parts->empty())
    return;
  busy_ = true;
  // Checked at one moment and committed at a later one: between them a lease may move, but no turn
  // be claimed or ended.
  auto begun = std::make_shared<bool>(false);
  auto committed = std::make_shared<bool>(false);
  auto refused = std::make_shared<std::vector<turn_id>>();
  home_.query<std::vector<turn_id>>(
      [&all = home_.all, rows, begun, committed, refused,
       me = home_.number()]() mutable -> std::optional<std::vector<turn_id>> {
        if (!std::exchange(*begun, true)) {
          const bool slow = all.rng.chance(all.stress.slow_commits);
          *refused = all.db.check_chunks(rows, me);
          all.time.at(all.time.now() + all.rng.between(100us, slow ? 400ms : 5ms),
                      [&all, written = rows, committed] {
                        all.db.commit_chunks(written);
                        *committed = true;
                      });
        }
        if (!*committed)
          return std::nullopt;
        return *refused;
      },
      [this, parts](std::optional<std::vector<turn_id>> out) {
        busy_ = false;
        for (auto& x : *parts) {
          const auto owner = home_.live(x.which);
          if (!out) {
            x.log->failed(x.take);
            dirty_.push_back(x.log);
          } else if (std::find(out->begin(), out->end(), x.turn) != out->end()) {
            x.log->failed(x.take);
            if (owner)
              owner->log_refused(x.turn, x.epoch);
          } else {
            static_cast<void>(x.log->committed(x.take, true));
            if (!x.log->all_committed())
              dirty_.push_back(x.log);
            home_.readers->notify(x.log);
            if (owner)
              owner->log_committed();
          }
        }
        if (out)
          flush();
        else
          home_.after(100ms, [this] { flush(); });
      });
}

}  // namespace kgents::sim
