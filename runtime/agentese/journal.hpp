#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/agentese/trimmer.hpp"
#include "sql/agentese_mark.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime::agentese {

/// One trace mark: see `sql::agentese_mark` for its members.
using mark = sql::agentese_mark;
using event_type = kgents::agentese_event_type;

/// What the journal counts; owned by whoever exports metrics. Called on the journal's thread, but
/// `dropped` and `refused` on the thread that noted or asked.
struct journal_probe {
  std::function<void(size_t marks, double seconds)> committed = [](size_t, double) {};
  std::function<void()> retried = [] {};
  /// This mark is in its tenant's log. Null: nobody wants to hear of each.
  std::function<void(const mark&)> written;
  /// `why`: `full` (the store is too slow or away) or `rejected` (PostgreSQL refused the mark).
  std::function<void(size_t marks, const char* why)> dropped = [](size_t, const char*) {};
  /// A billed invocation was refused: the store is too slow or away.
  std::function<void()> refused = [] {};
};

/// Writes the marks of all invocations of a node into the tenants' event logs, in groups: what
/// arrives while a commit is under way rides in the next.
///
/// While PostgreSQL is away marks wait here, up to a bound; beyond it new ones are dropped and
/// counted, but never one that is billed: what is to be billed asks `admits` before it begins, and
/// is refused when three quarters of the bound are taken. What was let in is always kept, if need be
/// without its data, so the bound is exceeded by no more than what a node has under way. A commit
/// that fails is tried again with the same ids until it succeeds, so no mark is there twice. The
/// logs it writes to are kept at their bounds.
///
/// Lives on the thread of `context`; `note` and `admits` from any thread.
class journal {
public:
  /// Tenants whose log has grown, each with its newest seq. On the journal's thread.
  using grown = std::function<void(const std::vector<std::pair<tenant_id, int64_t>>&)>;

  /// `control` is the pool of kg_control, on `context`; it must outlive this.
  journal(boost::asio::io_context& context, sql::transactor& control, journal_probe probe = {},
          retention keep = {});
  ~journal();
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  /// Whether something that will be billed may begin; one that may not is counted.
  [[nodiscard]] bool admits();

  void note(mark x);
  /// `written` is called once, on this thread, when the mark is committed, or when that could not
  /// be done at once: then it goes on being tried.
  void note(mark x, std::function<void()> written);

  /// Who hears of commits; once, before the first `note`.
  void on_grown(grown f);

  /// From any thread but the context's: waits until everything noted so far is committed or
  /// dropped, at most that long. False when something was left. For the shutdown, before the pool
  /// stops.
  bool flush(std::chrono::milliseconds at_most);

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime::agentese
