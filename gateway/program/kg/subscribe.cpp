// kg subscribe: what happens in the tenant, one event a line.

#include <boost/json/parse.hpp>
#include <charconv>
#include <ctime>

#include "gateway/program/kg/program.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

/// The server's heartbeat comes after 30 s of silence.
constexpr std::chrono::seconds stream_silence{75};

std::string iso(std::time_t at) {
  std::tm parts{};
  ::gmtime_r(&at, &parts);
  char out[32];
  return {out, std::strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// `10m` ago as a time; anything else as it is.
std::string moment(std::string_view text) {
  constexpr std::pair<char, int64_t> units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  for (const auto& [letter, seconds] : units) {
    if (!text.ends_with(letter) || text.size() > 8)
      continue;
    int64_t count = 0;
    const auto* end = text.data() + text.size() - 1;
    if (const auto [at, ec] = std::from_chars(text.data(), end, count);
        ec == std::errc{} && at == end && count >= 0)
      return iso(std::time(nullptr) - count * seconds);
  }
  return std::string{text};
}

class subscription {
public:
  explicit subscription(const program& p) : p_{p}, since_{moment(p.args.since)} {}

  int run() {
    auto waits = new_patience(p_);
    for (;;) {
      const auto x = p_.http.begin(request(), stream_silence);
      if (read(*x, waits))
        return exit_good;
      std::chrono::milliseconds asked{0};
      if (x->failed() && !heard_)
        throw unreachable(p_, *x->failed());
      if (!x->failed() && !x->streaming()) {
        if (x->answer().status != 503)
          throw refused_by(p_, x->answer());
        asked = x->answer().retry_after;
      }
      const auto wait = waits.next(steady::now(), asked);
      if (!wait)
        throw unreachable(p_, x->failed().value_or(failure::cut));
      if (waits.tries() == 4)
        note("lost " + p_.server + "; looking for it for " + std::to_string(waits.limit().count()) +
             " s");
      pause(p_, *wait);
    }
  }

private:
  http_request request() const {
    auto target = "/agentese/subscribe?pattern=" + escaped(p_.args.subject);
    if (!p_.args.aspect.empty())
      target += "&aspect=" + escaped(p_.args.aspect);
    std::string lines = "X-Observer-Archetype: " + p_.args.archetype + "\r\n";
    // The header goes before replay_from, and not together with it.
    if (!last_id_.empty())
      lines += "Last-Event-ID: " + last_id_ + "\r\n";
    else if (!since_.empty())
      target += "&replay_from=" + escaped(since_);
    return {.target = std::move(target), .header_lines = std::move(lines)};
  }

  /// True: as many as were asked for.
  bool read(exchange& x, patience& waits) {
    for (;;) {
      p_.http.loop().until([&] { return x.has_event() || x.ended(); });
      const auto event = x.next();
      if (!event)
        return false;
      if (event->name != "reconnect")
        waits.reached();
      if (show(*event))
        return true;
    }
  }

  bool show(const llm::sse_event& event) {
    json::error_code error;
    const auto parsed = json::parse(event.data, error);
    const auto* data = error ? nullptr : parsed.if_object();
    if (data == nullptr || event.name == "reconnect" || event.name == "heartbeat")
      return false;
    if (event.name == "subscribed") {
      // What happens while the connection is gone, before any event, is asked for by its time.
      if (!heard_ && since_.empty())
        since_ = iso(std::time(nullptr));
      heard_ = true;
      return false;
    }
    if (event.name == "error" && event.id.empty())
      throw stopped{exit_refused, text_member(*data, "error")};
    if (event.name == "gap" && !p_.out.json()) {
      note("events were missed: " + compact(*data));
      return false;
    }
    if (!event.id.empty() && event.id == last_id_)
      return false;
    if (!event.id.empty())
      last_id_ = event.id;
    print(event.name, *data);
    return event.name != "gap" && ++shown_ == p_.args.count;
  }

  void print(const std::string& name, const json::object& data) const {
    if (p_.out.json()) {
      auto line = data;
      if (!line.contains("event_type"))
        line["event_type"] = name;
      p_.out.object(line);
      return;
    }
    std::string line;
    for (const auto* member : {"timestamp", "event_type", "path", "aspect", "observer_archetype"})
      line += text_member(data, member) + "  ";
    if (const auto* more = data.if_contains("data"))
      line += compact(*more);
    p_.out.text(line + '\n');
  }

  const program& p_;
  std::string since_;
  std::string last_id_;
  bool heard_ = false;
  uint64_t shown_ = 0;
};

}  // namespace

int subscribe(const program& p) { return subscription{p}.run(); }

}  // namespace kgents::kg
