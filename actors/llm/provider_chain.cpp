#include "actors/llm/provider_chain.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <optional>
#include <utility>

namespace kgents::llm {

using runtime::breaker_state;
using time_point = std::chrono::steady_clock::time_point;

/// What the answers of all threads share; outlives the chain until the last of them has ended.
class provider_chain::shared_state {
public:
  struct link {
    std::shared_ptr<provider> model;
    runtime::circuit_breaker breaker;
  };

  shared_state(std::vector<std::shared_ptr<provider>> links, call_observer observer,
               runtime::breaker_limits limits, clock now)
      : observer_{std::move(observer)}, now_{std::move(now)} {
    for (auto& x : links)
      links_.push_back({std::move(x), runtime::circuit_breaker{limits}});
  }

  struct admission {
    bool admitted;
    bool is_probe;
  };

  admission admit(size_t i) {
    std::lock_guard hold{mutex_};
    auto& breaker = links_[i].breaker;
    const bool admitted = breaker.admits(now_());
    return {admitted, admitted && breaker.state() == breaker_state::half_open};
  }

  void succeeded(size_t i) {
    std::lock_guard hold{mutex_};
    links_[i].breaker.succeeded();
  }

  void failed(size_t i) {
    std::lock_guard hold{mutex_};
    links_[i].breaker.failed(now_());
  }

  void observe(size_t i, std::string_view outcome, time_point since) const {
    if (observer_)
      observer_(model(i).name(), model(i).model(), outcome,
                std::chrono::duration<double>(now_() - since).count());
  }

  [[nodiscard]] provider& model(size_t i) const noexcept { return *links_[i].model; }
  [[nodiscard]] size_t size() const noexcept { return links_.size(); }
  [[nodiscard]] time_point now() const { return now_(); }

  [[nodiscard]] std::vector<link_state> states() const {
    std::lock_guard hold{mutex_};
    std::vector<link_state> out;
    for (const auto& x : links_)
      out.push_back({x.model->name(), x.model->model(), x.breaker.state()});
    return out;
  }

private:
  mutable std::mutex mutex_;  // the breakers
  std::vector<link> links_;
  call_observer observer_;
  clock now_;
};

/// One answer, from provider to provider; on one I/O thread.
class provider_chain::answering : public std::enable_shared_from_this<answering> {
public:
  answering(std::shared_ptr<shared_state> chain, runtime::io_thread& thread, prompt ask, sink out)
      : chain_{std::move(chain)}, thread_{thread}, ask_{std::move(ask)}, out_{std::move(out)} {}

  void grant(uint32_t n) {
    credit_ += std::min(n, std::numeric_limits<uint32_t>::max() - credit_);
    if (current_)
      current_->grant(n);
  }

  void close() {
    if (over_)
      return;
    over_ = true;
    current_.reset();
    if (!calling_)
      return;
    if (is_probe_ && !began_)
      chain_->failed(at_);
    chain_->observe(at_, "canceled", since_);
  }

  /// Asks the first provider from `i` on that its breaker admits.
  void try_from(size_t i) {
    for (; i < chain_->size(); ++i) {
      const auto [admitted, is_probe] = chain_->admit(i);
      since_ = chain_->now();
      if (!admitted) {
        chain_->observe(i, "open", since_);
        continue;
      }
      at_ = i;
      is_probe_ = is_probe;
      calling_ = true;
      current_ = chain_->model(i).start(thread_, ask_, sink_of_call());
      if (credit_ > 0)
        current_->grant(credit_);
      return;
    }
    // Posted: this may be inside `start`.
    boost::asio::post(thread_.context(), [self = shared_from_this()] {
      if (!std::exchange(self->over_, true))
        self->out_.failed(self->last_failure_.value_or(
            failure{error_type::provider_unavailable,
                    "no model provider is available: each failed repeatedly and is left alone for "
                    "a while"}));
    });
  }

private:
  sink sink_of_call() {
    // The stream calls nothing once it is destroyed, and `close` destroys it.
    return {[this](std::string text) { delta(std::move(text)); },
            [this](completion x) { done(std::move(x)); },
            [this](failure x) { failed(std::move(x)); }};
  }

  void delta(std::string text) {
    const auto self = shared_from_this();
    if (!std::exchange(began_, true) && is_probe_)
      chain_->succeeded(at_);
    out_.delta(std::move(text));
  }

  void done(completion x) {
    const auto self = shared_from_this();
    if (!is_probe_ || !began_)
      chain_->succeeded(at_);
    end_of_call("ok");
    over_ = true;
    out_.done(std::move(x));
  }

  void failed(failure x) {
    const auto self = shared_from_this();
    if (!x.fault_of_request)
      chain_->failed(at_);
    else if (!is_probe_ || !began_)
      chain_->succeeded(at_);
    end_of_call(to_string(x.type));
    if (began_) {
      over_ = true;
      return out_.failed(std::move(x));
    }
    last_failure_ = std::move(x);
    // Not from inside its callback: not every stream survives the start of its successor there.
    boost::asio::post(thread_.context(), [self] {
      if (self->over_)
        return;
      self->current_.reset();
      self->try_from(self->at_ + 1);
    });
  }

  void end_of_call(std::string_view outcome) {
    calling_ = false;
    chain_->observe(at_, outcome, since_);
  }

  std::shared_ptr<shared_state> chain_;
  runtime::io_thread& thread_;
  prompt ask_;
  sink out_;
  std::unique_ptr<stream> current_;
  size_t at_ = 0;
  time_point since_{};
  uint32_t credit_ =
      0;  // granted in all, which is what the next provider starts with: no chunk, no credit used
  bool is_probe_ = false;
  bool calling_ = false;  // a provider owes an outcome
  bool began_ = false;    // the first chunk is out
  bool over_ = false;
  std::optional<failure> last_failure_;
};

class provider_chain::chain_stream final : public stream {
public:
  explicit chain_stream(std::shared_ptr<answering> x) : answering_{std::move(x)} {}
  ~chain_stream() override { answering_->close(); }
  void grant(uint32_t n) override { answering_->grant(n); }

private:
  std::shared_ptr<answering> answering_;
};

provider_chain::provider_chain(std::vector<std::shared_ptr<provider>> links, call_observer observer,
                               runtime::breaker_limits limits, clock now)
    : state_{std::make_shared<shared_state>(std::move(links), std::move(observer), limits,
                                            std::move(now))} {}

provider_chain::~provider_chain() = default;

std::string_view provider_chain::name() const noexcept { return state_->model(0).name(); }
std::string_view provider_chain::model() const noexcept { return state_->model(0).model(); }

std::unique_ptr<stream> provider_chain::start(runtime::io_thread& thread, prompt ask, sink out) {
  auto x = std::make_shared<answering>(state_, thread, std::move(ask), std::move(out));
  x->try_from(0);
  return std::make_unique<chain_stream>(std::move(x));
}

std::vector<provider_chain::link_state> provider_chain::states() const { return state_->states(); }

}  // namespace kgents::llm
