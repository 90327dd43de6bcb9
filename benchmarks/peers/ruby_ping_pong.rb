# Round trips between two ractors, which run in parallel in one process of Ruby.
#
#     ruby -W0 ruby_ping_pong.rb ractor CAPACITY hot WARMUP BATCHES BATCH PLACE
#     ruby -W0 ruby_ping_pong.rb ractor CAPACITY parked WARMUP COUNT PAUSE_US HOLD_US PLACE
#
# CAPACITY and PLACE are ignored.  Prints microseconds, a line for each batch
# (the mean of its round trips) or each round trip; measure/loops.py says what
# exactly is measured.

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)

ECHO = proc do |main, count, hold, parked|
  held = []
  count.times do
    message = Ractor.receive
    if parked
      start = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
      sleep(hold) if hold > 0
      held << Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) - start
    end
    main.send(message)
  end
  main.send(held)
end

def ping(ractor, batches, batch, pause)
  batches.times.map do
    sleep(pause) if pause > 0
    start = now
    batch.times do |number|
      ractor.send(number)
      raise 'not what was sent' if Ractor.receive != number
    end
    now - start
  end
end

_, _, mode, *numbers = ARGV
abort 'arguments: ractor CAPACITY hot|parked NUMBER...' unless %w[hot parked].include?(mode)
warmup, n, third, fourth = numbers.map(&:to_i)
parked = mode == 'parked'
batch = parked ? 1 : third
samples = warmup + n
ractor = Ractor.new(Ractor.current, samples * batch, parked ? fourth / 1e6 : 0, parked, &ECHO)
durations = ping(ractor, samples, batch, parked ? third / 1e6 : 0)
held = Ractor.receive
held = [0] * samples unless parked
durations.zip(held).drop(warmup).each { |there, here| puts (there - here) / 1e3 / batch }
