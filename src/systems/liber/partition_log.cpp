#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/systems/partitions.h>

namespace fs = std::filesystem;

// The file: records of u32 length, u32 checksum (the low half of xxh3), and so many bytes, all little-endian. Bytes
// begin with what they are: 'H' (once, first), JSON with version, rule, columns and author; 'E', an event: text user,
// f64 time, a text a column; 'T', what is said: text user, u32 number, text summary, text shift. A text is its length
// (u32) and its bytes.
namespace interplay {
namespace {

constexpr const char* kFile = "partitions.log";
constexpr int kVersion = 1;
constexpr size_t kHead = 8, kLongestUser = 65535, kLongestRecord = size_t{1} << 30;

uint32_t checksum_of(std::string_view bytes) { return uint32_t(hash64(bytes)); }

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put(out, uint32_t(text.size()));
  out += text;
}

/// Takes a record apart; `ok` falls where it is too short.
struct Parts {
  std::string_view left;
  bool ok = true;

  template <class T>
  T number() {
    T value{};
    const std::string_view bytes = take(sizeof value);
    if (ok) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number<uint32_t>()); }
  std::string_view take(size_t count) {
    ok = ok && count <= left.size();
    if (!ok) return {};
    const auto out = left.substr(0, count);
    left.remove_prefix(count);
    return out;
  }
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return size_t(hash64(text)); }
};

}  // namespace

struct PartitionLog::State {
  struct User {
    PartitionCuts cuts;
    Past past;
    double last = 0;
    std::vector<uint64_t> cache, texts;  // where records are in the file
  };
  struct Untold {
    uint64_t order;  // among all that were closed
    int64_t number;
    std::vector<uint64_t> events;
  };

  fs::path file;
  Options options;
  DirectoryLock lock;
  std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>> numbers;
  std::vector<const std::string*> names;  // keys of `numbers`
  std::vector<User> users;
  std::unordered_map<uint32_t, std::deque<Untold>> untold;  // of users that have any
  std::set<std::pair<uint64_t, uint32_t>> next;             // the first of each
  int64_t partitions = 0, untold_count = 0;
  std::optional<OutputFile> out;
  bool broken = false;
  mutable std::optional<MappedFile> mapped;

  State(const fs::path& directory, Options o) : file(directory / kFile), options(std::move(o)), lock(directory) {}

  std::string header() const {
    nlohmann::ordered_json json = {{"version", kVersion},
                                   {"count", options.rule.count},
                                   {"pause", options.rule.pause},
                                   {"columns", options.columns}};
    for (const auto& [key, value] : options.author) json["by " + key] = value;
    return "H" + json.dump();
  }

  void open() {
    if (fs::exists(file)) {
      replay();
      out.emplace(file, OutputFile::Mode::append);
      return;
    }
    NewFile begun(file);  // with its header, or not at all
    begun.out().write(framed(header()));
    begun.commit();
    out.emplace(file, OutputFile::Mode::append);
  }

  static std::string framed(std::string_view record) {
    std::string bytes;
    put(bytes, uint32_t(record.size()));
    put(bytes, checksum_of(record));
    bytes += record;
    return bytes;
  }

  uint64_t append(std::string_view record) {
    INTERPLAY_CHECK_DATA(!broken, "{}: a record could not be written before; open the log again", file.string());
    const auto at = uint64_t(out->size());
    broken = true;  // unless all of it is written: what would follow half a record could not be read
    out->write(framed(record));
    broken = false;
    return at;
  }

  /// The record that begins at a byte; nothing where it is not whole.
  static std::optional<std::string_view> record_at(std::string_view bytes, uint64_t at) {
    Parts parts{bytes.substr(at)};
    const auto length = parts.number<uint32_t>(), sum = parts.number<uint32_t>();
    if (!parts.ok || length > kLongestRecord) return std::nullopt;
    const std::string_view record = parts.take(length);
    if (!parts.ok || checksum_of(record) != sum) return std::nullopt;
    return record;
  }

  std::string_view read(uint64_t at) const {
    if (!mapped || at + kHead > mapped->bytes().size()) mapped.emplace(file);
    auto record = record_at(mapped->bytes(), at);
    if (!record) mapped.emplace(file), record = record_at(mapped->bytes(), at);  // it has grown since
    INTERPLAY_CHECK_DATA(record, "{}: the record at byte {} was changed while the file is in use", file.string(), at);
    return *record;
  }

  void replay() {
    uint64_t whole = 0;
    {
      const MappedFile all(file);
      const std::string_view bytes = all.bytes();
      const auto first = record_at(bytes, 0);
      INTERPLAY_CHECK_DATA(first && first->starts_with('H'), "{}: is no log of partitions, or was damaged",
                           file.string());
      check_header(first->substr(1));
      for (whole = kHead + first->size(); whole < bytes.size();) {
        const auto record = record_at(bytes, whole);
        if (!record) {
          check_torn(bytes, whole);
          break;
        }
        take(*record, whole);
        whole += kHead + record->size();
      }
      if (whole == bytes.size()) return;
      log::warning("{}: its last {} bytes are no whole record, as after a crash; they are dropped", file.string(),
                   bytes.size() - whole);
    }
    fs::resize_file(file, whole);
  }

  /// What is left of a write that was cut off is no longer than the record that it began.
  void check_torn(std::string_view bytes, uint64_t at) const {
    Parts parts{bytes.substr(at)};
    const auto length = parts.number<uint32_t>();
    const bool torn = bytes.size() - at < kHead || at + kHead + length >= bytes.size();
    INTERPLAY_CHECK_DATA(torn,
                         "{}: damaged at byte {}: the record's checksum differs, and more follows. Restore the file, "
                         "or begin anew in another directory",
                         file.string(), at);
  }

  void check_header(std::string_view text) const {
    const auto theirs = nlohmann::json::parse(text, nullptr, false);
    INTERPLAY_CHECK_DATA(theirs.is_object() && theirs.contains("version") && theirs["version"].is_number_integer(),
                         "{}: its header is damaged", file.string());
    INTERPLAY_CHECK_DATA(theirs["version"] == kVersion, "{}: is of version {}, this program reads {}", file.string(),
                         theirs["version"].dump(), kVersion);
    const auto ours = nlohmann::json::parse(header().substr(1));
    for (const auto* const each : {&ours, static_cast<const nlohmann::json*>(&theirs)}) {
      for (const auto& item : each->items()) {
        const std::string& key = item.key();
        const auto said = [&](const nlohmann::json& of) { return of.contains(key) ? of[key].dump() : "nothing"; };
        const std::string name = key.starts_with("by ") ? key.substr(3) : key;
        INTERPLAY_CHECK(said(theirs) == said(ours), "{}: was made with {} {}, now it is {}; choose another directory",
                        file.string(), name, said(theirs), said(ours));
      }
    }
  }

  void take(std::string_view record, uint64_t at) {
    const auto bad = [&] {
      return Error(fmt::format("{}: the record at byte {} makes no sense; restore the file, or begin anew in another "
                               "directory",
                               file.string(), at),
                   ErrorKind::data);
    };
    Parts parts{record};
    const auto kind = parts.number<char>();
    const std::string_view name = parts.text();
    if (!parts.ok || name.size() > kLongestUser) throw bad();
    if (kind == 'E') {
      const auto time = parts.number<double>();
      std::vector<std::string_view> cells(options.columns.size());
      for (auto& cell : cells) cell = parts.text();
      if (!parts.ok || !parts.left.empty()) throw bad();
      take_event(user_of(name), at, time, cells);
    } else if (kind == 'T') {
      const int64_t number = parts.number<uint32_t>();
      parts.text(), parts.text();
      const auto known = numbers.find(name);
      if (!parts.ok || !parts.left.empty() || known == numbers.end() || !is_next(known->second, number)) throw bad();
      take_texts(known->second, at);
    } else {
      throw bad();
    }
  }

  uint32_t user_of(std::string_view name) {
    const auto known = numbers.find(name);
    if (known != numbers.end()) return known->second;
    const auto number = uint32_t(users.size());
    names.push_back(&numbers.emplace(name, number).first->first);
    users.emplace_back();
    return number;
  }
  const User* find(std::string_view name) const {
    const auto known = numbers.find(name);
    return known == numbers.end() ? nullptr : &users[known->second];
  }

  void take_event(uint32_t number, uint64_t at, double time, std::span<const std::string_view> cells) {
    User& user = users[number];
    const PartitionCuts::Cut cut = user.cuts.next(options.rule, time);
    const auto close = [&](int64_t partition) {
      auto& of = untold[number];
      const auto order = uint64_t(partitions++);
      if (of.empty()) next.emplace(order, number);
      of.push_back({order, partition, std::exchange(user.cache, {})});
      ++untold_count;
    };
    if (cut.before) close(user.cuts.closed() - (cut.after ? 1 : 0));
    user.cache.push_back(at);
    if (cut.after) close(user.cuts.closed());
    user.past.checksum = PartitionLog::checksum(user.past.checksum, time, cells);
    ++user.past.events;
    user.last = time;
  }

  const Untold* first_untold(uint32_t user) const {
    const auto of = untold.find(user);
    return of == untold.end() ? nullptr : &of->second.front();
  }
  bool is_next(uint32_t user, int64_t number) const {
    const Untold* const first = first_untold(user);
    return first && first->number == number;
  }

  void take_texts(uint32_t user, uint64_t at) {
    users[user].texts.push_back(at);
    auto& of = untold.at(user);
    next.erase({of.front().order, user});
    of.pop_front();
    --untold_count;
    if (of.empty())
      untold.erase(user);
    else
      next.emplace(of.front().order, user);
  }

  Event event(uint64_t at) const {
    Parts parts{read(at)};
    parts.number<char>();
    parts.text();
    Event out;
    out.time = parts.number<double>();
    for (size_t c = 0; c < options.columns.size(); ++c) out.cells.emplace_back(parts.text());
    return out;
  }
  std::vector<Event> events(const std::vector<uint64_t>& places) const {
    std::vector<Event> out;
    for (const uint64_t at : places) out.push_back(event(at));
    return out;
  }
};

PartitionLog::PartitionLog(const fs::path& directory, Options options) {
  INTERPLAY_CHECK(options.rule.count > 0 || options.rule.pause > 0,
                  "nothing would ever end a partition; expected a number of events, or a pause");
  make_directories(directory);
  state_ = std::make_unique<State>(directory, std::move(options));
  state_->open();
}
PartitionLog::~PartitionLog() = default;

void PartitionLog::observe(std::string_view user, double time, std::span<const std::string_view> cells) {
  State& s = *state_;
  INTERPLAY_CHECK(cells.size() == s.options.columns.size(), "an event of {} cells; expected one of each of {} columns",
                  cells.size(), s.options.columns.size());
  INTERPLAY_CHECK(user.size() <= kLongestUser, "a user of {} bytes; expected at most {}", user.size(), kLongestUser);
  const State::User* const known = s.find(user);
  INTERPLAY_CHECK(!known || known->past.events == 0 || time >= known->last,
                  "an event of user '{}' at {}, which is before the last one at {}; expected them in time", user, time,
                  known ? known->last : 0);
  std::string record = "E";
  put_text(record, user);
  put(record, time);
  for (const auto cell : cells) put_text(record, cell);
  INTERPLAY_CHECK(record.size() < kLongestRecord, "an event of {} bytes; expected less than 1 GB", record.size());
  const uint64_t at = s.append(record);
  s.take_event(s.user_of(user), at, time, cells);
}

uint64_t PartitionLog::checksum(uint64_t before, double time, std::span<const std::string_view> cells) {
  uint64_t sum = hash64({reinterpret_cast<const char*>(&time), sizeof time}, before);
  for (const auto cell : cells) sum = hash64(cell, sum);
  return sum;
}

PartitionLog::Past PartitionLog::past(std::string_view user) const {
  const State::User* const known = state_->find(user);
  return known ? known->past : Past();
}

int64_t PartitionLog::closed(std::string_view user) const {
  const State::User* const known = state_->find(user);
  return known ? known->cuts.closed() : 0;
}

std::vector<PartitionLog::Event> PartitionLog::cache(std::string_view user) const {
  const State::User* const known = state_->find(user);
  return known ? state_->events(known->cache) : std::vector<Event>();
}

std::vector<std::string> PartitionLog::users() const {
  std::vector<std::string> out;
  for (const std::string* const name : state_->names) out.push_back(*name);
  return out;
}

int64_t PartitionLog::partitions() const { return state_->partitions; }
int64_t PartitionLog::untold() const { return state_->untold_count; }

std::vector<PartitionLog::Partition> PartitionLog::pending(int64_t most) const {
  std::vector<Partition> out;
  for (const auto& [order, user] : state_->next) {
    if (int64_t(out.size()) >= most) break;
    out.push_back({*state_->names[user], state_->first_untold(user)->number});
  }
  return out;
}

std::vector<PartitionLog::Event> PartitionLog::events(const Partition& pending) const {
  const auto known = state_->numbers.find(pending.user);
  INTERPLAY_CHECK(known != state_->numbers.end() && state_->is_next(known->second, pending.number),
                  "partition {} is not the next one of its user that nothing was said of",
                  partition_key(pending.user, pending.number));
  return state_->events(state_->first_untold(known->second)->events);
}

void PartitionLog::tell(const Partition& pending, const PartitionTexts& texts) {
  State& s = *state_;
  const auto known = s.numbers.find(pending.user);
  INTERPLAY_CHECK(known != s.numbers.end() && s.is_next(known->second, pending.number),
                  "partition {} is not the next one of its user that nothing was said of",
                  partition_key(pending.user, pending.number));
  std::string record = "T";
  put_text(record, pending.user);
  put(record, uint32_t(pending.number));
  put_text(record, texts.summary);
  put_text(record, texts.shift);
  INTERPLAY_CHECK(record.size() < kLongestRecord, "texts of {} bytes; expected less than 1 GB", record.size());
  s.take_texts(known->second, s.append(record));
}

std::optional<PartitionTexts> PartitionLog::texts(std::string_view user, int64_t number) const {
  const State::User* const known = state_->find(user);
  if (!known || number < 1 || number > int64_t(known->texts.size())) return std::nullopt;
  Parts parts{state_->read(known->texts[size_t(number) - 1])};
  parts.number<char>();
  parts.text();
  parts.number<uint32_t>();
  PartitionTexts out;
  out.summary = parts.text();
  out.shift = parts.text();
  return out;
}

void PartitionLog::sync() { state_->out->sync(); }

}  // namespace interplay
