<?php
require __DIR__ . '/database.php';
database()->exec('CREATE TABLE IF NOT EXISTS visits (id INT PRIMARY KEY AUTO_INCREMENT, path VARCHAR(200))');
