#include "sql/pools.hpp"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_map>
#include <utility>

#include "sql/data_planes.hpp"
#include "sql/silo_dsn.hpp"

namespace kgents::sql {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds directory_deadline{2};

/// What waits for the directory is few: transactions that met a move. More are told to come again.
constexpr size_t most_misplaced = 10'000;

enum class role : uint8_t { app, control };

/// By whose data the transaction is routed, if by any.
std::optional<tenant_id> routed_by(role as, const transaction& work) {
  if (as == role::control)
    return work.about;
  return work.where == plane::data ? work.tenant : std::nullopt;
}

bool rests(const pool& x) {
  const auto now = x.stats();
  return now.queued == 0 && now.in_flight == 0;
}

failure no_silo() { return {failure::kind::unavailable, {}, "the silo cannot be located", {}}; }

}  // namespace

class pools::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, transactor& app, transactor& control,
       pools_options options)
      : context_{context},
        app_{app},
        control_{control},
        options_{std::move(options)},
        servers_{options_.secrets},
        timer_{context} {}

  void start() {
    boost::asio::post(context_, [self = shared_from_this()] { self->refresh(); });
  }

  void stop() {
    boost::asio::post(context_, [self = shared_from_this()] {
      self->stopped_ = true;
      self->timer_.cancel();
      self->silos_.clear();
      self->open_ = 0;
      self->settle_misplaced();
    });
  }

  void submit(role as, transaction work, callback done) {
    const auto whose = routed_by(as, work);
    if (whose && has_silo(*whose)) {
      boost::asio::post(context_, [self = shared_from_this(), as, whose = *whose,
                                   work = std::move(work), done = std::move(done)]() mutable {
        self->to_silo(as, whose, std::move(work), std::move(done));
      });
      return;
    }
    if (!whose && as == role::app) {
      app_.submit(std::move(work), std::move(done));
      return;
    }
    shared(as).submit(std::move(work), [self = shared_from_this(), as, whose,
                                        done = std::move(done)](outcome out) mutable {
      auto* why = std::get_if<failure>(&out);
      if (why != nullptr && why->misplaced)
        self->misplaced({as, whose, std::move(*why), std::move(done)});
      else
        done(std::move(out));
    });
  }

  [[nodiscard]] bool apart(const tenant_id& tenant) const {
    if (!any_)
      return false;
    const auto known = directory_.load();
    return known->contains(tenant);
  }

  [[nodiscard]] std::vector<tenant_id> silos() const {
    std::vector<tenant_id> out;
    if (any_)
      for (const auto known = directory_.load(); const auto& [tenant, entry] : *known)
        if (entry.active)
          out.push_back(tenant);
    return out;
  }

  [[nodiscard]] size_t open() const noexcept { return open_; }

private:
  using directory = std::unordered_map<tenant_id, planes::directory_entry>;

  /// The pool of one role in one silo.
  struct lane {
    std::unique_ptr<pool> where;
    clock::time_point used{};
  };
  struct urls {
    std::string app;
    std::string control;
    friend bool operator==(const urls&, const urls&) = default;
  };
  struct silo {
    urls at;
    lane app;
    lane control;
  };
  struct lost {
    role as;
    std::optional<tenant_id> whose;
    failure why;
    callback done;
  };

  [[nodiscard]] transactor& shared(role as) { return as == role::app ? app_ : control_; }

  [[nodiscard]] bool has_silo(const tenant_id& tenant) const {
    if (!any_)
      return false;
    const auto known = directory_.load();
    const auto at = known->find(tenant);
    return at != known->end() && at->second.active;
  }

  // From here on everything runs on the io_context's thread.

  void to_silo(role as, tenant_id whose, transaction work, callback done) {
    auto* there = stopped_ ? nullptr : find(as, whose);
    if (there == nullptr) {
      done(no_silo());
      return;
    }
    if (work.announces && !work.fence)
      work.fence = work.announces;
    there->submit(std::move(work), std::move(done));
  }

  pool* find(role as, tenant_id whose) {
    auto at = silos_.find(whose);
    if (at == silos_.end()) {
      const auto known = directory_.load();
      const auto entry = known->find(whose);
      if (entry == known->end() || !entry->second.active)
        return nullptr;
      auto found = locate(entry->second);
      if (!found)
        return nullptr;
      at = silos_.emplace(whose, silo{std::move(*found), {}, {}}).first;
    }
    auto& x = as == role::app ? at->second.app : at->second.control;
    x.used = clock::now();
    if (!x.where) {
      pool_options how;
      how.url = as == role::app ? at->second.at.app : at->second.at.control;
      how.connections = as == role::app ? options_.app_connections : options_.control_connections;
      how.max_in_flight = as == role::app ? 64 : 1;
      x.where = std::make_unique<pool>(context_, std::move(how));
      ++open_;
    }
    return x.where.get();
  }

  [[nodiscard]] std::optional<urls> locate(const planes::directory_entry& x) const {
    auto app = silo_url(servers_, x.dsn_ref, "DATABASE_URL", options_.app_url, x.database);
    auto control =
        silo_url(servers_, x.dsn_ref, "DATABASE_CONTROL_URL", options_.control_url, x.database);
    if (app.index() != 0 || control.index() != 0)
      return std::nullopt;
    return urls{std::get<0>(std::move(app)), std::get<0>(std::move(control))};
  }

  void misplaced(lost x) {
    if (lost_.size() >= most_misplaced || stopped_) {
      x.done(std::move(x.why));
      return;
    }
    lost_.push_back(std::move(x));
    if (reading_)
      again_ = true;  // what is being read may be from before the move
    else
      refresh();
  }

  void refresh() {
    if (stopped_ || std::exchange(reading_, true))
      return;
    timer_.cancel();
    again_ = false;
    auto query = planes::directory();
    query.work.deadline = clock::now() + directory_deadline;
    run(control_, std::move(query),
        [self = shared_from_this()](answer<std::vector<planes::directory_entry>> out) {
          self->reading_ = false;
          if (auto* entries = std::get_if<0>(&out))
            self->learn(std::move(*entries));
          if (self->again_ && !self->stopped_) {
            self->refresh();
            return;
          }
          self->settle_misplaced();
          self->look_after_silos();
          self->arm();
        });
  }

  void arm() {
    if (stopped_ || reading_)
      return;
    timer_.expires_after(options_.refresh_every);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->refresh();
    });
  }

  void learn(std::vector<planes::directory_entry> entries) {
    auto fresh = std::make_shared<directory>();
    for (auto& x : entries)
      if (const auto tenant = x.tenant; x.active || !fresh->contains(tenant))
        fresh->insert_or_assign(tenant, std::move(x));
    const bool any = !fresh->empty();
    directory_.store(std::move(fresh));
    any_ = any;
  }

  void settle_misplaced() {
    for (auto& x : std::exchange(lost_, {})) {
      if (!stopped_ && x.whose && has_silo(*x.whose))
        to_silo(x.as, *x.whose, std::move(*x.why.misplaced), std::move(x.done));
      else
        x.done(std::move(x.why));
    }
  }

  /// Closes what nobody uses, and what cannot connect when its secret has changed meanwhile.
  void look_after_silos() {
    const auto now = clock::now();
    const auto known = directory_.load();
    for (auto at = silos_.begin(); at != silos_.end();) {
      auto& [tenant, x] = *at;
      const auto entry = known->find(tenant);
      bool gone = entry == known->end() || !entry->second.active;
      const auto connected = [](const lane& l) {
        return l.where && l.where->stats().connected > 0;
      };
      if (!gone && !connected(x.app) && !connected(x.control))
        gone = locate(entry->second) != x.at;
      for (auto* l : {&x.app, &x.control})
        if (l->where && (gone || (l->used + options_.idle < now && rests(*l->where)))) {
          l->where.reset();
          --open_;
        }
      if (gone || (!x.app.where && !x.control.where))
        at = silos_.erase(at);
      else
        ++at;
    }
  }

  boost::asio::io_context& context_;
  transactor& app_;
  transactor& control_;
  const pools_options options_;
  const silo_servers servers_;
  boost::asio::steady_timer timer_;
  std::unordered_map<tenant_id, silo> silos_;
  std::vector<lost> lost_;
  bool reading_ = false;
  bool again_ = false;
  bool stopped_ = false;

  std::atomic<bool> any_{false};  // the directory is not empty
  std::atomic<std::shared_ptr<const directory>> directory_{std::make_shared<const directory>()};
  std::atomic<size_t> open_{0};
};

class pools::side final : public transactor {
public:
  side(std::shared_ptr<impl> x, role as) : impl_{std::move(x)}, as_{as} {}

  void submit(transaction work, callback done) override {
    impl_->submit(as_, std::move(work), std::move(done));
  }
  [[nodiscard]] bool apart(const tenant_id& tenant) const override { return impl_->apart(tenant); }
  [[nodiscard]] std::vector<tenant_id> silos() const override { return impl_->silos(); }

private:
  const std::shared_ptr<impl> impl_;
  const role as_;
};

pools::pools(boost::asio::io_context& context, transactor& app, transactor& control,
             pools_options options)
    : impl_{std::make_shared<impl>(context, app, control, std::move(options))},
      app_{std::make_unique<side>(impl_, role::app)},
      control_{std::make_unique<side>(impl_, role::control)} {}

pools::~pools() { stop(); }

transactor& pools::app() noexcept { return *app_; }

transactor& pools::control() noexcept { return *control_; }

void pools::start() { impl_->start(); }

void pools::stop() { impl_->stop(); }

size_t pools::open() const noexcept { return impl_->open(); }

}  // namespace kgents::sql
