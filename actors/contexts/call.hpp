#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <variant>

#include "actors/contexts/task.hpp"
#include "actors/llm/collect.hpp"
#include "actors/logos/registry.hpp"
#include "protocol/agentese/error.hpp"
#include "protocol/agentese/invocation.hpp"
#include "protocol/entity.hpp"
#include "protocol/messages.hpp"
#include "sql/query.hpp"

namespace kgents::actors {

/// What an aspect came to: a value, an error or a refusal (a decision, which charges nothing).
struct outcome : std::variant<boost::json::value, agentese::error, agentese::refused> {
  using base = std::variant<boost::json::value, agentese::error, agentese::refused>;
  using base::base;
  // In parentheses: braces would make it a list of one.
  outcome(boost::json::object x) : base{boost::json::value(std::move(x))} {}

  [[nodiscard]] bool ok() const noexcept { return index() == 0; }
};

class context;
struct context_services;

/// One aspect while it runs: what it was asked, and what it may do. Belongs to its context's actor,
/// lives until the aspect has ended, and everything awaited here resumes on that actor.
///
/// What is awaited either gives its value or ends the aspect: a database that is away, a deadline
/// that passes or a `fail` destroys the coroutine at that point and answers the error, so aspects
/// hold no code for it.
class aspect_call {
public:
  aspect_call(context& where, uint64_t ticket, agentese::invoke_aspect ask, const node_entry& node,
              const aspect_entry& aspect, std::string_view subpath, boost::json::object args);
  aspect_call(const aspect_call&) = delete;
  aspect_call& operator=(const aspect_call&) = delete;

  // What was asked.
  [[nodiscard]] tenant_id tenant() const noexcept;
  [[nodiscard]] const agentese::invoke_aspect& asked() const noexcept { return ask_; }
  [[nodiscard]] const agentese::observer& who() const noexcept { return ask_.who; }
  [[nodiscard]] const agentese::caller& by() const noexcept { return ask_.by; }
  [[nodiscard]] const node_entry& entry() const noexcept { return *entry_; }
  [[nodiscard]] const aspect_entry& aspect() const noexcept { return *aspect_; }
  [[nodiscard]] const std::string& node() const noexcept { return ask_.node; }  ///< world.house
  [[nodiscard]] std::string_view name() const noexcept;  ///< last segment of the node: house
  [[nodiscard]] std::string_view subpath() const noexcept { return subpath_; }
  /// Registered paths that look like this one, at most five.
  [[nodiscard]] std::vector<std::string> similar() const;
  /// The table of all nodes.
  [[nodiscard]] const registry& nodes() const noexcept;
  /// The lease that this context writes under.
  [[nodiscard]] sql::fence lease() const noexcept;
  [[nodiscard]] std::string full_path() const { return ask_.node + "." + ask_.aspect; }
  /// Deterministic for this call; for choices that must be seedable.
  [[nodiscard]] uint64_t seed() const noexcept;
  /// ISO 8601, UTC, microseconds.
  [[nodiscard]] std::string now_text() const;

  // Its arguments, checked and completed.
  [[nodiscard]] const boost::json::object& args() const noexcept { return args_; }
  [[nodiscard]] bool has(std::string_view name) const noexcept;  ///< there and not null
  [[nodiscard]] std::string text(std::string_view name) const;   ///< "" when absent
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] int64_t integer(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] const boost::json::value* find(std::string_view name) const noexcept;

  /// The answer where an argument is missing in a way the table cannot say ("message or topic
  /// required"): a result `{error}` on /v1, as its callers know it, INVALID_ARGUMENT elsewhere.
  [[nodiscard]] outcome missing(std::string_view what) const;

  // What it may wait for.

  /// Ends the aspect when awaited.
  struct failing {
    aspect_call& call;
    agentese::error why;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) { call.end_with(std::move(why)); }
    [[noreturn]] void await_resume() const noexcept { std::terminate(); }
  };
  [[nodiscard]] failing fail(agentese::error why) { return {*this, std::move(why)}; }

  template <class T>
  class waiting {
  public:
    using begin = std::function<void(aspect_call&, std::function<void(T)>)>;
    waiting(aspect_call& call, begin how) : call_{call}, begin_{std::move(how)} {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      auto how = std::move(begin_);
      how(call_, [this, h](T x) {
        value_.emplace(std::move(x));
        h.resume();
      });
    }
    T await_resume() { return std::move(*value_); }

  private:
    aspect_call& call_;
    begin begin_;
    std::optional<T> value_;
  };

  /// Runs a query that only reads, in a read-only transaction: PostgreSQL itself refuses a write
  /// (CATEGORY_VIOLATION).
  template <class T>
  [[nodiscard]] waiting<T> read(sql::query<T> what);

  /// Runs a query that writes, fenced by the lease of this context, and tells of it with one
  /// `changed` event of `node` (default: this call's) in the same transaction. An aspect whose
  /// category may not write gets a read-only transaction here too, so it ends with
  /// CATEGORY_VIOLATION.
  template <class T>
  [[nodiscard]] waiting<T> write(sql::query<T> what, boost::json::object change = {},
                                 std::string_view node = {});

  /// Asks the model for a whole answer; a failure is a value, since most aspects have a fallback.
  /// Tokens are added to what this call cost.
  [[nodiscard]] waiting<llm::collect_result> model(llm::prompt ask, size_t max_bytes = 64 * 1024);
  [[nodiscard]] bool has_model() const noexcept;

  /// Invokes another path on behalf of the same observer and caller, with all checks.
  /// `internal`: as the server itself.
  [[nodiscard]] waiting<outcome> invoke(std::string path, boost::json::object kwargs,
                                        bool internal = false);
  /// The same on behalf of somebody else, who has asked for it before. `origin`: as whose it is
  /// noted and billed; `strict`: as it was asked.
  [[nodiscard]] waiting<outcome> invoke_as(agentese::observer who, agentese::caller by,
                                           std::string path, std::string kwargs,
                                           std::string origin, bool strict);

  /// Sends a message to one of the tenant's sessions; its turn runs on when this call has ended.
  [[nodiscard]] waiting<answer<accepted>> send_message_to(session_id to, send_message what);

  /// What this node's contexts work with: for what has no awaitable of its own.
  [[nodiscard]] const context_services& services() const noexcept;

  /// Until the returned value dies, other calls of this context that lock the same key wait, in
  /// order. For read-modify-write of one thing; hold it across the database, not across a model.
  using guard = std::shared_ptr<void>;
  [[nodiscard]] waiting<guard> lock(std::string key);

  /// State of the context's actor that outlives this call and is lost when it leaves memory: caches
  /// only. Made by `T{}` at first use.
  template <class T>
  [[nodiscard]] T& live();

  void add_tokens(uint32_t in, uint32_t out) noexcept {
    tokens_in_ += in;
    tokens_out_ += out;
  }
  [[nodiscard]] uint32_t tokens_in() const noexcept { return tokens_in_; }
  [[nodiscard]] uint32_t tokens_out() const noexcept { return tokens_out_; }

private:
  friend class context;

  template <class T>
  [[nodiscard]] waiting<T> run(sql::query<T> what);
  void submit(sql::transaction work, std::function<void(std::vector<sql::rows>&)> done);
  void tell_change(sql::transaction& work, boost::json::object change, std::string_view node) const;
  void end_with(agentese::error why);
  std::shared_ptr<void>& live_slot(std::type_index type);

  context& where_;
  const uint64_t ticket_;
  agentese::invoke_aspect ask_;
  const node_entry* entry_;
  const aspect_entry* aspect_;
  std::string subpath_;
  boost::json::object args_;
  uint32_t tokens_in_ = 0;
  uint32_t tokens_out_ = 0;
  bool wrote_ = false;
};

template <class T>
aspect_call::waiting<T> aspect_call::run(sql::query<T> what) {
  return {*this, [work = std::move(what.work), parse = what.parse](
                     aspect_call& self, std::function<void(T)> done) mutable {
            self.submit(std::move(work), [parse, done = std::move(done)](std::vector<sql::rows>& x) {
              done(parse(x));
            });
          }};
}

template <class T>
aspect_call::waiting<T> aspect_call::read(sql::query<T> what) {
  what.work.read_only = true;
  return run(std::move(what));
}

template <class T>
aspect_call::waiting<T> aspect_call::write(sql::query<T> what, boost::json::object change,
                                           std::string_view node) {
  what.work.read_only = false;
  tell_change(what.work, std::move(change), node);
  return run(std::move(what));
}

template <class T>
T& aspect_call::live() {
  auto& slot = live_slot(typeid(T));
  if (slot == nullptr)
    slot = std::make_shared<T>();
  return *static_cast<T*>(slot.get());
}

}  // namespace kgents::actors
