// An aspect whose answer is shown as it is made.

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/program/kg/program.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

constexpr std::chrono::seconds stream_silence{45};

std::string query_of(const json::object& kwargs) {
  std::string out;
  for (const auto& [name, value] : kwargs) {
    out += (out.empty() ? "?" : "&") + escaped(name) + '=';
    out += escaped(value.is_string() ? std::string{value.get_string()} : json::serialize(value));
  }
  return out;
}

/// One answer across its connections.
class spoken_aspect {
public:
  spoken_aspect(const program& p, http_request first) : p_{p}, first_{std::move(first)} {}

  int run() {
    auto waits = new_patience(p_);
    for (;;) {
      auto request = first_;
      if (!last_id_.empty())
        request.header_lines += "Last-Event-ID: " + last_id_ + "\r\n";
      const auto x = p_.http.begin(request, stream_silence);
      std::chrono::milliseconds asked{0};
      if (read(*x, waits))
        return exit_good;
      // Without an id to go on from, asking again may run it again: only when the server says so.
      const bool broke = x->failed() || (x->streaming() && !sent_back_);
      if (broke && last_id_.empty())
        throw begun_or_not(x->failed().value_or(failure::cut));
      if (!x->failed() && !x->streaming())
        asked = take_refusal(x->answer());
      const auto wait = waits.next(steady::now(), asked);
      if (!wait)
        throw unreachable(p_, x->failed().value_or(failure::cut));
      pause(p_, *wait);
    }
  }

private:
  /// True: that was the end of it.
  bool read(exchange& x, patience& waits) {
    sent_back_ = false;
    for (;;) {
      p_.http.loop().until([&] { return x.has_event() || x.ended(); });
      const auto event = x.next();
      if (!event)
        return false;
      if (event->name == "reconnect")
        sent_back_ = true;
      else
        waits.reached();
      if (show(*event))
        return true;
    }
  }

  bool show(const llm::sse_event& event) {
    json::error_code error;
    const auto parsed = json::parse(event.data, error);
    const auto* data = error ? nullptr : parsed.if_object();
    if (data == nullptr || event.name == "reconnect")
      return false;
    if (!event.id.empty())
      last_id_ = event.id;
    if (event.name == "error") {
      const auto told =
          problem_text({502, {}, json::serialize(json::object{{"detail", *data}})}, p_.args.json);
      throw stopped{exit_refused, told};
    }
    if (event.name == "done")
      return finish(*data);
    const auto* index = data->if_contains("index");
    const auto at = index != nullptr && index->is_int64() ? index->get_int64() : next_;
    // The one piece of what does not stream comes again as the result.
    if (event.name != "chunk" || at < next_ || shown_member(*data, "partial") != "true")
      return false;
    next_ = at + 1;
    if (p_.out.json()) {
      json::object line{{"event", "chunk"}, {"id", event.id}};
      for (const auto& [name, value] : *data)
        line[name] = value;
      p_.out.object(line);
    } else {
      p_.out.text(text_member(*data, "content"));
    }
    return false;
  }

  bool finish(const json::object& data) {
    const auto* result = data.if_contains("result");
    if (p_.out.json()) {
      json::object line{{"event", "done"}};
      for (const auto& [name, value] : data)
        line[name] = value;
      p_.out.object(line);
    } else if (next_ > 0) {
      p_.out.text("\n");
    } else if (result != nullptr) {
      p_.out.tree(*result);
    }
    if (p_.args.trace)
      note(p_.args.subject + "  " + shown_member(data, "duration_ms") + " ms");
    return true;
  }

  stopped begun_or_not(failure why) const {
    auto out = unreachable(p_, why);
    if (!never_sent(why) && !p_.args.json)
      out.text = failure_text(why, p_.server) +
                 " before the answer began\n\n    Try: ask again; it may be answered twice";
    return out;
  }

  /// How long to wait, when it is worth it.
  std::chrono::milliseconds take_refusal(const http_answer& x) {
    if (x.status == 204)  // it had heard the end, and it was lost here
      throw stopped{exit_refused, "the answer has ended; its end was not heard"};
    if (x.status != 503)
      throw refused_by(p_, x);
    return x.retry_after;
  }

  const program& p_;
  const http_request first_;
  std::string last_id_;
  int64_t next_ = 0;
  bool sent_back_ = false;  ///< by the last connection
};

}  // namespace

int stream_aspect(const program& p, const std::string& node, const std::string& aspect) {
  auto target = "/api/v1/" + node;
  target[target.rfind('.')] = '/';
  target += '/' + aspect + "/stream" + query_of(p.args.kwargs);
  return spoken_aspect{p,
                       {.target = std::move(target),
                        .header_lines = "X-Observer-Archetype: " + p.args.archetype + "\r\n"}}
      .run();
}

}  // namespace kgents::kg
