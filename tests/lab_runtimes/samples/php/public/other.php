<?php echo "another script";
