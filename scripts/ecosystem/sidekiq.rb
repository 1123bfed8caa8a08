# Sidekiq: jobs, jobs for later, retries by its own schedule, dead jobs, bulk, figures. Starts a worker process with itself
# as what that loads.
require 'sidekiq'
require 'sidekiq/api'

ENV['REDIS_URL'] = "redis://127.0.0.1:#{ENV.fetch('ECOSYSTEM_PORT')}/0"
WAIT_S_MAX = 60

class Adder
  include Sidekiq::Worker

  def perform(name, x, y)
    Sidekiq.redis { |c| c.rpush("result:#{name}", x + y) }
  end
end

class Flaky
  include Sidekiq::Worker
  sidekiq_options retry: 2
  sidekiq_retry_in { 1 }

  def perform(name, works)
    tries = Sidekiq.redis { |c| c.incr("tries:#{name}") }
    raise "try #{tries}" if tries < works

    Sidekiq.redis { |c| c.rpush("result:#{name}", tries) }
  end
end

if Sidekiq.server?
  Sidekiq.configure_server { |config| config.average_scheduled_poll_interval = 1 }
  return
end

$count = 0

def same(found, expected, what)
  abort("#{what}: #{found.inspect} instead of #{expected.inspect}") unless found == expected
  $count += 1
end

def wait_for(what)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + WAIT_S_MAX
  until (found = yield)
    abort("in vain: #{what}") if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    IO.select(nil, nil, nil, 0.02)
  end
  $count += 1
  found
end

def results(name)
  Sidekiq.redis { |c| c.lrange("result:#{name}", 0, -1) }
end

Adder.perform_async('one', 2, 3)
Adder.perform_in(1, 'later', 4, 5)
Adder.perform_in(3600, 'much later', 6, 7)
Adder.perform_bulk((1..100).map { |n| ['bulk', n, 0] })
Adder.set(queue: 'low').perform_async('low', 1, 1)
Flaky.perform_async('flaky', 2)
Flaky.perform_async('hopeless', 99)
same(Sidekiq::Queue.new.size, 103, 'queued')
same(Sidekiq::ScheduledSet.new.size, 2, 'scheduled')
gone = Adder.perform_async('gone', 0, 0)
same(Sidekiq::Queue.new.find_job(gone).delete ? 1 : 0, 1, 'deleted from its queue')

log = IO.popen(['sidekiq', '-r', File.expand_path(__FILE__), '-q', 'default', '-q', 'low', '-c', '4', { err: %i[child out] }])
at_exit do
  Process.kill('TERM', log.pid)
  Process.wait(log.pid)
rescue Errno::ESRCH, Errno::ECHILD
  nil
end
# The worker must not stop because nobody reads what it prints.
Thread.new { log.each_line { |line| warn line if ENV['ECOSYSTEM_VERBOSE'] } }

wait_for('a job') { results('one') == ['5'] }
wait_for('a job of another queue') { results('low') == ['2'] }
wait_for('a batch') { results('bulk').map(&:to_i).sort == (1..100).to_a }
wait_for('a job for later') { results('later') == ['9'] }
wait_for('a job that is tried again') { results('flaky') == ['2'] }
wait_for('a dead job') { Sidekiq::DeadSet.new.size == 1 }
same(Sidekiq::DeadSet.new.first.args, ['hopeless', 99], 'which one')
wait_for('nothing to try again') { Sidekiq::RetrySet.new.size.zero? }
same(Sidekiq::ScheduledSet.new.map(&:args), [['much later', 6, 7]], 'what is for later')
same(results('much later'), [], 'and has not run')
Sidekiq::ScheduledSet.new.first.delete
same(Sidekiq::ScheduledSet.new.size, 0, 'deleted from the schedule')
wait_for('the process in the list') { Sidekiq::ProcessSet.new.size == 1 }
wait_for('figures') { Sidekiq::Stats.new.processed >= 105 && Sidekiq::Stats.new.failed >= 4 }
same(Sidekiq::Stats.new.enqueued, 0, 'nothing is left')
puts "#{$count} checks"
