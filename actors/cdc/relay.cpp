#include "actors/cdc/relay.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <set>
#include <tuple>

#include "actors/cdc/point.hpp"
#include "runtime/timer_wheel.hpp"

namespace kgents::cdc {

namespace json = boost::json;

namespace {

/// Of the 1,000 publishes that a node may have unacknowledged.
constexpr size_t most_at_once = 64;
/// The bus keeps what it cannot publish at once. That is not waited for: it is given again, with
/// the same id, when there is a broker.
constexpr std::chrono::seconds patience{3};

constexpr std::string_view withheld[] = {
    "key_hash",     "email",    "external_auth_id", "stripe_customer_id", "stripe_subscription_id",
    "silo_dsn_ref", "embedding"};

std::string lower(std::string_view x) {
  std::string out{x};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

json::value data_of(const change& x) {
  if (x.payload.size() > announcement_bytes)
    return nullptr;
  boost::system::error_code wrong;
  auto row = json::parse(x.payload, wrong);
  if (wrong || !row.is_object())
    return nullptr;
  for (const auto name : withheld)
    row.get_object().erase(name);
  return row;
}

}  // namespace

/// What is under way, until all of it has been answered or the time is over. On the relay's thread.
struct relay::under_way {
  std::vector<bool> stored;
  size_t left = 0;
  runtime::wheel_timer late;
  std::function<void(std::vector<bool>)> done;

  void finish() {
    late.disarm();
    if (auto call = std::exchange(done, nullptr))
      call(stored);
  }
};

announcement announce(const change& x) {
  announcement out;
  out.row = point_id(x.tenant, x.table, x.row);
  out.subject = "events." + x.table + "." + lower(sql::cdc::to_string(x.what));
  out.id = "outbox:" + std::to_string(x.id);
  json::object body{
      {"id", x.id},
      {"tenant_id", x.tenant.value.is_nil() ? json::value{} : json::value(x.tenant.text())},
      {"table", x.table},
      {"operation", sql::cdc::to_string(x.what)},
      {"row_id", x.row},
      {"created_at", x.created_at}};
  body["data"] = data_of(x);
  out.payload = json::serialize(body);
  return out;
}

size_t window(std::span<const change> changes, size_t from) {
  std::set<std::tuple<tenant_id, std::string_view, std::string_view>> rows;
  const auto end = std::min(changes.size(), from + most_at_once);
  auto at = from;
  while (at < end && rows.emplace(changes[at].tenant, changes[at].table, changes[at].row).second)
    ++at;
  return at - from;
}

task<std::vector<bool>> relay::publish(std::span<const change> changes) {
  std::vector<bool> out(changes.size(), false);
  for (size_t from = 0; from < changes.size();) {
    const auto count = window(changes, from);
    arriving<std::vector<bool>> answers{[&](arriving<std::vector<bool>>::callback done) {
      auto x = std::make_shared<under_way>();
      x->stored.assign(count, false);
      x->left = count;
      x->done = std::move(done);
      x->late.on_fire([x = x.get()] { x->finish(); });
      current_ = x;
      thread_.wheel().arm(x->late, patience);
      for (size_t i = 0; i < count; ++i) {
        auto answered = [this, x, i](bool stored) {
          boost::asio::post(thread_.context(), [x, i, stored] {
            x->stored[i] = stored;
            if (--x->left == 0)
              x->finish();
          });
        };
        if (changes[from + i].published)
          answered(true);
        else
          bus_.publish(announce(changes[from + i]), std::move(answered));
      }
    }};
    const auto stored = co_await answers;
    std::copy(stored.begin(), stored.end(), out.begin() + static_cast<long>(from));
    if (std::find(stored.begin(), stored.end(), false) != stored.end())
      break;
    from += count;
  }
  co_return out;
}

}  // namespace kgents::cdc
