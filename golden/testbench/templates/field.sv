      for (lane = 0; lane < @lanes@; lane = lane + 1)
        if (((wanted[@bits@] ^ actual[@bits@]) & checked[@bits@]) !== @zero@)
          if (counted())
            $display("@format@: expected 0x%h, actual 0x%h, time %0d", @values@, wanted[@bits@], actual[@bits@], $time);
