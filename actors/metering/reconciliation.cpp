#include "actors/metering/reconciliation.hpp"

#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <cmath>
#include <ctime>

#include "actors/outbound/http_client.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::metering {

namespace json = boost::json;

namespace {

using wall = std::chrono::system_clock;

/// The sums read a month of rows.
constexpr std::chrono::seconds sum_deadline{60};
/// Tenants that one comparison tells of in the log.
constexpr size_t most_lines = 20;
constexpr std::chrono::minutes not_yet_counted{10};
constexpr std::chrono::hours old_month_for{72};

std::tm utc(wall::time_point x) {
  const auto seconds = wall::to_time_t(x);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

std::string text(const std::tm& x, const char* form) {
  char out[64];
  return {out, std::strftime(out, sizeof out, form, &x)};
}

std::string instant(wall::time_point x) { return text(utc(x), "%FT%TZ"); }

wall::time_point month_of(wall::time_point x) {
  auto parts = utc(x);
  parts.tm_mday = 1;
  parts.tm_hour = parts.tm_min = parts.tm_sec = 0;
  return wall::from_time_t(timegm(&parts));
}

}  // namespace

std::vector<stretch> stretches_at(wall::time_point now) {
  const auto counted = std::chrono::floor<std::chrono::minutes>(now - not_yet_counted);
  const auto month = month_of(now);
  std::vector<stretch> out;
  if (now - month < old_month_for) {
    const auto before = month_of(month - std::chrono::hours{1});
    out.push_back({text(utc(before), "%Y-%m"), instant(before),
                   instant(std::min<wall::time_point>(month, counted))});
  }
  if (counted > month)
    out.push_back({text(utc(month), "%Y-%m"), instant(month), instant(counted)});
  return out;
}

double discrepancy(double theirs, double ours) noexcept {
  return (theirs - ours) / std::max(ours, 1.0);
}

std::optional<double> sum_of(std::string_view body) {
  boost::system::error_code bad;
  const auto whole = json::parse(body, bad);
  const auto* data = !bad && whole.is_object() ? whole.get_object().if_contains("data") : nullptr;
  if (data == nullptr || !data->is_array())
    return std::nullopt;
  double out = 0;
  for (const auto& row : data->get_array()) {
    const auto* value = row.is_object() ? row.get_object().if_contains("value") : nullptr;
    if (value == nullptr || !value->is_number())
      return std::nullopt;
    out += value->to_number<double>();
  }
  return out;
}

/// One comparison after the other; each of its steps goes on with the next.
class reconciliation::impl : public std::enable_shared_from_this<impl> {
public:
  impl(runtime::io_thread& thread, sql::pool& control, options with,
       std::function<void(double)> compared)
      : thread_{thread},
        control_{control},
        with_{std::move(with)},
        compared_{std::move(compared)} {
    if (!with_.base_url.empty())
      client_.emplace(with_.base_url);
  }

  void round(runtime::single_worker::next_round next) {
    next_ = std::move(next);
    remaining_ = stretches_at(wall::now());
    worst_ = 0;
    lines_ = 0;
    stretch();
  }

private:
  void stretch() {
    if (remaining_.empty()) {
      compared_(worst_);
      return end(with_.every);
    }
    auto query = sql::metering::drift(remaining_.back().period, with_.most_tenants);
    ask(std::move(query), [this](std::vector<sql::counter_drift> found) {
      for (const auto& x : found)
        differs(x.tenant, "counter", static_cast<double>(x.counted),
                static_cast<double>(x.recorded));
      totals();
    });
  }

  void totals() {
    if (!client_)
      return done_with_stretch();
    const auto& now = remaining_.back();
    ask(sql::metering::totals(now.from, now.to, with_.most_tenants),
        [this](std::vector<sql::tenant_total> found) {
          tenants_ = std::move(found);
          tenant();
        });
  }

  void tenant() {
    if (tenants_.empty())
      return done_with_stretch();
    const auto& now = remaining_.back();
    outbound::http_request request;
    request.target = "/api/v1/meters/llm_tokens_total/query?subject=" +
                     outbound::url_escaped(tenants_.back().tenant.text()) +
                     "&from=" + outbound::url_escaped(now.from) +
                     "&to=" + outbound::url_escaped(now.to);
    request.header_lines = "Authorization: Bearer " + with_.api_key.reveal() +
                           "\r\nAccept: application/json\r\n";
    request.deadline = with_.request_deadline;
    client_->call(thread_, std::move(request), [self = shared_from_this()](auto x) {
      const auto* answer = std::get_if<outbound::http_answer>(&x);
      const auto theirs = answer != nullptr && answer->status == 200 ? sum_of(answer->body)
                                                                     : std::nullopt;
      if (!theirs)
        return self->fail("OpenMeter does not tell what it has counted");
      self->differs(self->tenants_.back().tenant, "openmeter", *theirs,
                    static_cast<double>(self->tenants_.back().tokens));
      self->tenants_.pop_back();
      self->tenant();
    });
  }

  void done_with_stretch() {
    remaining_.pop_back();
    stretch();
  }

  void differs(tenant_id tenant, std::string_view from, double theirs, double ours) {
    const auto ratio = discrepancy(theirs, ours);
    if (std::abs(ratio) > std::abs(worst_))
      worst_ = ratio;
    if (std::abs(ratio) > with_.tolerance && lines_++ < most_lines)
      log::warn("usage differs from what was counted", {{"tenant_id", tenant.text()},
                                                        {"period", remaining_.back().period},
                                                        {"counted_by", from},
                                                        {"counted", theirs},
                                                        {"recorded", ours}});
  }

  template <class T, class Then>
  void ask(sql::query<T> query, Then then) {
    query.work.deadline = std::chrono::steady_clock::now() + sum_deadline;
    sql::run(control_, std::move(query), [self = shared_from_this(), then](auto x) {
      boost::asio::post(self->thread_.context(), [self, then, x = std::move(x)]() mutable {
        if (auto* got = std::get_if<0>(&x))
          then(std::move(*got));
        else
          self->fail("the database does not tell what was recorded");
      });
    });
  }

  void fail(std::string_view why) {
    log::warn("no reconciliation of usage", {{"reason", why}});
    end(with_.after_failure);
  }

  void end(std::chrono::milliseconds wait) {
    tenants_.clear();
    remaining_.clear();
    if (auto next = std::exchange(next_, nullptr))
      next(wait);
  }

  runtime::io_thread& thread_;
  sql::pool& control_;
  const options with_;
  const std::function<void(double)> compared_;
  std::optional<outbound::http_client> client_;
  runtime::single_worker::next_round next_;
  std::vector<metering::stretch> remaining_;
  std::vector<sql::tenant_total> tenants_;
  double worst_ = 0;
  size_t lines_ = 0;
};

reconciliation::reconciliation(runtime::io_thread& thread, sql::pool& control, options with,
                               std::function<void(double)> compared)
    : impl_{std::make_shared<impl>(thread, control, std::move(with), std::move(compared))} {}

reconciliation::~reconciliation() = default;

void reconciliation::round(runtime::single_worker::next_round next) {
  impl_->round(std::move(next));
}

}  // namespace kgents::metering
