#include "actors/metering/relay.hpp"

#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "runtime/limits.hpp"

namespace kgents::metering {

namespace json = boost::json;
using namespace std::chrono_literals;

namespace {

/// Rows in one batch: the bus keeps some hundred of a lane.
constexpr size_t rows_at_once = 100;
/// Between looks for new rows.
constexpr auto look_every = 1s;
/// After the bus or the database did not take part.
constexpr auto after_failure = 5s;
/// How long the bus may take to say what became of a batch.
constexpr auto stored_within = 60s;

/// A batch whose rows are being told; late news of an old one change nothing.
struct told {
  bool usage = true;
  std::vector<sql::relayed_record> rows;
  std::vector<bool> stored;
  size_t open = 0;
  bool over = false;
};

}  // namespace

announcement announce(bool usage, const sql::relayed_record& row) {
  announcement out;
  out.id = row.id;
  std::string_view type = row.type;
  constexpr std::string_view redundant = "subscription.";
  if (!usage && type.starts_with(redundant))
    type.remove_prefix(redundant.size());
  out.subject = usage ? "billing.usage." : "billing.subscription.";
  out.subject += type;
  boost::system::error_code bad;
  const auto body = json::parse(row.body, bad);
  if (!bad && body.is_object()) {
    const auto* tenant = body.get_object().if_contains("tenant_id");
    if (tenant != nullptr && tenant->is_string())
      out.lane = uuid::parse(std::string_view{tenant->get_string()}).value_or(uuid{});
    out.payload = json::serialize(body);  // without the spaces
  }
  return out;
}

class relay::impl : public std::enable_shared_from_this<impl> {
public:
  impl(runtime::io_thread& thread, sql::pool& control, publish tell,
       std::function<void(size_t)> relayed)
      : thread_{thread},
        control_{control},
        tell_{std::move(tell)},
        relayed_{std::move(relayed)},
        patience_{[this] { close(); }} {}

  void round(runtime::single_worker::next_round next) {
    next_ = std::move(next);
    more_ = false;
    look(true);
  }

private:
  void look(bool usage) {
    auto query = sql::metering::unrelayed(usage, rows_at_once);
    query.work.deadline = deadline();
    sql::run(control_, std::move(query), [self = shared_from_this(), usage](auto x) {
      boost::asio::post(self->thread_.context(), [self, usage, x = std::move(x)]() mutable {
        if (auto* rows = std::get_if<0>(&x))
          self->found(usage, std::move(*rows));
        else
          self->end(after_failure);
      });
    });
  }

  void found(bool usage, std::vector<sql::relayed_record> rows) {
    more_ = more_ || rows.size() == rows_at_once;
    if (rows.empty())
      return next_kind(usage);
    batch_ = std::make_shared<told>();
    batch_->usage = usage;
    batch_->stored.resize(rows.size());
    batch_->open = rows.size();
    batch_->rows = std::move(rows);
    thread_.wheel().arm(patience_, stored_within);
    for (size_t i = 0; i < batch_->rows.size(); ++i)
      tell_(announce(usage, batch_->rows[i]), [self = shared_from_this(), x = batch_, i](bool good) {
        boost::asio::post(self->thread_.context(), [self, x, i, good] { self->heard(x, i, good); });
      });
  }

  void heard(const std::shared_ptr<told>& x, size_t i, bool good) {
    if (x->over)
      return;
    x->stored[i] = good;
    if (--x->open == 0)
      close();
  }

  /// The mark goes behind the last row before which every one is stored.
  void close() {
    patience_.disarm();
    const auto x = std::exchange(batch_, nullptr);
    x->over = true;
    const auto end_of_stored = std::find(x->stored.begin(), x->stored.end(), false);
    const auto count = static_cast<size_t>(end_of_stored - x->stored.begin());
    if (count == 0)
      return end(after_failure);
    auto query = sql::metering::relayed(x->usage, x->rows[count - 1]);
    query.work.deadline = deadline();
    sql::run(control_, std::move(query), [self = shared_from_this(), x, count](auto out) {
      boost::asio::post(self->thread_.context(), [self, x, count, good = out.index() == 0] {
        self->relayed_(count);
        if (good && count == x->rows.size())
          self->next_kind(x->usage);
        else
          self->end(after_failure);
      });
    });
  }

  void next_kind(bool usage) {
    if (usage)
      look(false);
    else
      end(more_ ? 0s : look_every);
  }

  void end(std::chrono::milliseconds wait) {
    if (auto next = std::exchange(next_, nullptr))
      next(wait);
  }

  static std::chrono::steady_clock::time_point deadline() {
    return std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  }

  runtime::io_thread& thread_;
  sql::pool& control_;
  const publish tell_;
  const std::function<void(size_t)> relayed_;
  runtime::single_worker::next_round next_;
  std::shared_ptr<told> batch_;
  runtime::wheel_timer patience_;
  bool more_ = false;
};

relay::relay(runtime::io_thread& thread, sql::pool& control, publish tell,
             std::function<void(size_t)> relayed)
    : impl_{std::make_shared<impl>(thread, control, std::move(tell), std::move(relayed))} {}

relay::~relay() = default;

void relay::round(runtime::single_worker::next_round next) { impl_->round(std::move(next)); }

}  // namespace kgents::metering
