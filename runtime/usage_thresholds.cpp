#include "runtime/usage_thresholds.hpp"

#include <boost/asio/post.hpp>

namespace kgents::runtime {

namespace {

/// One round; lives until the last of what it told has been answered.
struct round {
  round(io_thread& t, sql::pool& c, single_worker::next_round n)
      : thread{t}, control{c}, next{std::move(n)} {}

  void told(const uuid& id, bool well) {
    if (well)
      ids.push_back(id);
    if (--open > 0)
      return;
    if (ids.empty()) {
      next(usage_thresholds::look_every);
      return;
    }
    auto query = sql::usage_thresholds::told(ids);
    query.work.deadline = std::chrono::steady_clock::now() + usage_thresholds::deadline;
    sql::run(control, std::move(query), [next = next](const sql::answer<sql::nothing>&) {
      next(usage_thresholds::look_every);
    });
  }

  io_thread& thread;
  sql::pool& control;
  const single_worker::next_round next;
  size_t open = 0;
  std::vector<uuid> ids;
};

}  // namespace

usage_thresholds::usage_thresholds(io_thread& thread, sql::pool& control, tell how)
    : worker_{thread, control, "usage_thresholds",
              [&thread, &control, how = std::move(how)](single_worker::next_round next) {
                auto query = sql::usage_thresholds::cross(most_at_once);
                query.work.deadline = std::chrono::steady_clock::now() + deadline;
                sql::run(control, std::move(query),
                         [&thread, &control, how, next = std::move(next)](
                             const sql::answer<std::vector<sql::crossed_threshold>>& out) {
                           const auto* crossed = std::get_if<0>(&out);
                           if (crossed == nullptr || crossed->empty()) {
                             next(look_every);
                             return;
                           }
                           auto now = std::make_shared<round>(thread, control, next);
                           now->open = crossed->size();
                           for (const auto& x : *crossed)
                             how(x, [now, id = x.id](bool well) {
                               boost::asio::post(now->thread.context(),
                                                 [now, id, well] { now->told(id, well); });
                             });
                         });
              }} {}

}  // namespace kgents::runtime
